"""What every object has: its name, its metadata, and how others select it. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.schema.problems import Place

GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
INFERENCE_GROUP: Final = "inference.networking.k8s.io"
INFERENCE_X_GROUP: Final = "inference.networking.x-k8s.io"
LLM_D_GROUP: Final = "llm-d.ai"  # objectives and rewrites have moved there
DISCOVERY_GROUP: Final = "discovery.k8s.io"
KAITO_GROUP: Final = "kaito.sh"
ISTIO_GROUP: Final = "networking.istio.io"
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
    place: Place = field(default=Place(""), compare=False)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """matchLabels only, and all of them must be equal."""

    match_labels: Mapping[str, str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.match_labels.items())
