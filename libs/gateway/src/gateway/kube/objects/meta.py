"""What every object has: its name, its metadata, and how others select it. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.schema.problems import Place

GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
INFERENCE_GROUP: Final = "inference.networking.k8s.io"
INFERENCE_X_GROUP: Final = "inference.networking.x-k8s.io"
LLM_D_GROUP: Final = "llm-d.ai"  # objectives and rewrites have moved there
DISCOVERY_GROUP: Final = "discovery.k8s.io"
KAITO_GROUP: Final = "kaito.sh"
ISTIO_GROUP: Final = "networking.istio.io"
AI_GATEWAY_GROUP: Final = "aigateway.envoyproxy.io"
ENVOY_GATEWAY_GROUP: Final = "gateway.envoyproxy.io"
DEFAULT_NAMESPACE: Final = "default"


class ObjectName(NamedTuple):
    """`namespace/name`; equal to the plain pair."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class ObjectKey(NamedTuple):
    """One object among all kinds: `Pod namespace/name`."""

    kind: str
    id: ObjectName

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


TTFT_LIMIT_ANNOTATION: Final = "pointsman.dev/first-token-timeout"
WEBSOCKETS_ANNOTATION: Final = "pointsman.dev/websockets"


@dataclass(frozen=True, slots=True)
class Meta:
    """An object's metadata. Two objects do not differ by where they were written, nor by their versions."""

    id: ObjectName
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    created: str  # creationTimestamp, empty when absent
    uid: str = ""
    generation: int | None = None
    api_version: str = field(default="", compare=False)  # as written: a status goes back under it
    resource_version: str = field(default="", compare=False)
    deleted: str = ""  # deletionTimestamp: the object is about to go
    first_token: float | None = (
        None  # seconds within which streamed answers must have begun, of a route or an objective
    )
    websockets: bool = False  # whether requests of a route may become websockets
    place: Place = field(default=Place(""), compare=False)


class LabelOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One of `matchExpressions`."""

    key: str
    operator: LabelOperator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case LabelOperator.IN:
                return labels.get(self.key) in self.values
            case LabelOperator.NOT_IN:
                return labels.get(self.key) not in self.values
            case LabelOperator.EXISTS:
                return self.key in labels
            case LabelOperator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All labels must be equal, and all requirements met."""

    match_labels: Mapping[str, str]
    requirements: tuple[LabelRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        is_equal = all(labels.get(key) == value for key, value in self.match_labels.items())
        return is_equal and all(each.matches(labels) for each in self.requirements)
