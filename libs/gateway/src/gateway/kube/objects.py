"""The objects that this project acts on, as frozen values, and `Manifests`: one immutable snapshot of them all.

Pure values: what a field means is said here, whether it was written correctly is `reading`'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
INFERENCE_GROUP: Final = "inference.networking.k8s.io"
INFERENCE_X_GROUP: Final = "inference.networking.x-k8s.io"
LLM_D_GROUP: Final = "llm-d.ai"  # objectives and rewrites have moved there
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
PICKER_PORT_DEFAULT: Final = 9002


class ObjectName(NamedTuple):
    """`namespace/name`; equal to the plain pair."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Meta:
    """Who an object is and where it was written. `created` is metadata.creationTimestamp, empty when absent."""

    id: ObjectName
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    created: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """matchLabels only, and all of them must be equal."""

    match_labels: Mapping[str, str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.match_labels.items())


@dataclass(frozen=True, slots=True)
class Namespace:
    meta: Meta


# --- Gateway ---------------------------------------------------------------------------------------------------------


class NamespacesFrom(StrEnum):
    ALL = "All"
    SAME = "Same"
    SELECTOR = "Selector"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class Listener:
    name: str
    hostname: str  # empty: every host
    port: int
    protocol: str
    namespaces_from: NamespacesFrom
    namespace_selector: LabelSelector
    route_kinds: tuple[str, ...]  # empty: those of the protocol


@dataclass(frozen=True, slots=True)
class Gateway:
    meta: Meta
    class_name: str
    listeners: tuple[Listener, ...]


# --- HTTPRoute -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParentRef:
    group: str
    kind: str
    id: ObjectName
    section_name: str  # empty: every listener
    port: int | None


class PathType(StrEnum):
    EXACT = "Exact"
    PREFIX = "PathPrefix"
    REGEX = "RegularExpression"


@dataclass(frozen=True, slots=True)
class PathMatch:
    type: PathType = PathType.PREFIX
    value: str = "/"


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A header (name in lower case) or a query parameter."""

    name: str
    value: str
    regex: bool = False


@dataclass(frozen=True, slots=True)
class RouteMatch:
    path: PathMatch = PathMatch()
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    method: str = ""


class FilterType(StrEnum):
    REQUEST_HEADERS = "RequestHeaderModifier"
    RESPONSE_HEADERS = "ResponseHeaderModifier"
    REDIRECT = "RequestRedirect"
    REWRITE = "URLRewrite"
    MIRROR = "RequestMirror"


@dataclass(frozen=True, slots=True)
class HeaderModifier:
    """`type` says whether it changes the request or the response."""

    type: FilterType
    set: tuple[tuple[str, str], ...]
    add: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PathModifier:
    """Replace the whole path, or only the prefix that matched."""

    full: str | None
    prefix: str | None


@dataclass(frozen=True, slots=True)
class Redirect:
    scheme: str
    hostname: str
    path: PathModifier | None
    port: int | None
    status: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    hostname: str
    path: PathModifier | None


@dataclass(frozen=True, slots=True)
class BackendRef:
    group: str
    kind: str
    id: ObjectName
    port: int | None
    weight: int
    filters: "tuple[RouteFilter, ...]"

    @property
    def is_pool(self) -> bool:
        return self.kind == "InferencePool" and self.group in (INFERENCE_GROUP, INFERENCE_X_GROUP)

    @property
    def is_service(self) -> bool:
        return self.kind == "Service" and self.group == ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of each request, or of `numerator` in `denominator`, whose answer is thrown away."""

    backend: BackendRef
    numerator: int
    denominator: int


RouteFilter = HeaderModifier | Redirect | Rewrite | Mirror


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None: not written, 0: none."""

    request: float | None = None
    backend_request: float | None = None


@dataclass(frozen=True, slots=True)
class RouteRule:
    name: str
    matches: tuple[RouteMatch, ...]
    filters: tuple[RouteFilter, ...]
    backends: tuple[BackendRef, ...]
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class HTTPRoute:
    meta: Meta
    parents: tuple[ParentRef, ...]
    hostnames: tuple[str, ...]
    rules: tuple[RouteRule, ...]


@dataclass(frozen=True, slots=True)
class ReferencePeer:
    """One `from` or `to` of a ReferenceGrant; `namespace` only on from, `name` (empty: all) only on to."""

    group: str
    kind: str
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceGrant:
    meta: Meta
    from_: tuple[ReferencePeer, ...]
    to: tuple[ReferencePeer, ...]


# --- InferencePool and friends ---------------------------------------------------------------------------------------


class FailureMode(StrEnum):
    OPEN = "FailOpen"
    CLOSE = "FailClose"


@dataclass(frozen=True, slots=True)
class PickerRef:
    """endpointPickerRef (v1) or extensionRef (v1alpha2)."""

    group: str
    kind: str
    name: str
    port: int
    failure_mode: FailureMode


@dataclass(frozen=True, slots=True)
class InferencePool:
    meta: Meta
    selector: LabelSelector
    target_ports: tuple[int, ...]
    h2c: bool  # appProtocol kubernetes.io/h2c
    picker: PickerRef | None


@dataclass(frozen=True, slots=True)
class InferenceObjective:
    meta: Meta
    pool: ObjectName
    priority: int


@dataclass(frozen=True, slots=True)
class ModelTarget:
    model: str
    weight: int | None


@dataclass(frozen=True, slots=True)
class ModelRewriteRule:
    """`models` empty: every model."""

    models: tuple[str, ...]
    targets: tuple[ModelTarget, ...]


@dataclass(frozen=True, slots=True)
class InferenceModelRewrite:
    meta: Meta
    pool: ObjectName
    rules: tuple[ModelRewriteRule, ...]


class Criticality(StrEnum):
    CRITICAL = "Critical"
    STANDARD = "Standard"
    SHEDDABLE = "Sheddable"


@dataclass(frozen=True, slots=True)
class InferenceModel:
    """The legacy kind: an objective and a rewrite in one."""

    meta: Meta
    pool: ObjectName
    model_name: str
    criticality: Criticality | None
    targets: tuple[ModelTarget, ...]


# --- Kubernetes core and Istio ---------------------------------------------------------------------------------------


class AddressType(StrEnum):
    IPV4 = "IPv4"
    IPV6 = "IPv6"
    FQDN = "FQDN"


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    addresses: tuple[str, ...]
    ready: bool
    name: str  # targetRef.name or hostname, else empty


@dataclass(frozen=True, slots=True)
class SlicePort:
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    meta: Meta
    address_type: AddressType
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[SlicePort, ...]


@dataclass(frozen=True, slots=True)
class ServicePort:
    name: str
    port: int
    target_port: int | str | None
    app_protocol: str


@dataclass(frozen=True, slots=True)
class Service:
    meta: Meta
    type: str
    ports: tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True)
class ConfigMap:
    meta: Meta
    data: Mapping[str, str]


class TlsMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    mode: TlsMode
    insecure_skip_verify: bool
    sni: str
    ca_certificates: str
    client_certificate: str
    private_key: str
    subject_alt_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DestinationRule:
    """The part of Istio's kind that says how to speak to an endpoint picker: TLS and connection limits."""

    meta: Meta
    host: str
    tls: TlsSettings | None
    connect_timeout: float | None
    max_requests: int | None


Parsed = (
    Namespace
    | Gateway
    | HTTPRoute
    | ReferenceGrant
    | InferencePool
    | InferenceObjective
    | InferenceModelRewrite
    | InferenceModel
    | EndpointSlice
    | Service
    | ConfigMap
    | DestinationRule
)


@dataclass(frozen=True, slots=True)
class Manifests:
    """Every object of one load, by kind and `(namespace, name)`. Replaced whole, never changed."""

    namespaces: Mapping[ObjectName, Namespace] = field(default_factory=dict)
    gateways: Mapping[ObjectName, Gateway] = field(default_factory=dict)
    routes: Mapping[ObjectName, HTTPRoute] = field(default_factory=dict)
    grants: Mapping[ObjectName, ReferenceGrant] = field(default_factory=dict)
    pools: Mapping[ObjectName, InferencePool] = field(default_factory=dict)
    objectives: Mapping[ObjectName, InferenceObjective] = field(default_factory=dict)
    rewrites: Mapping[ObjectName, InferenceModelRewrite] = field(default_factory=dict)
    models: Mapping[ObjectName, InferenceModel] = field(default_factory=dict)
    slices: Mapping[ObjectName, EndpointSlice] = field(default_factory=dict)
    services: Mapping[ObjectName, Service] = field(default_factory=dict)
    config_maps: Mapping[ObjectName, ConfigMap] = field(default_factory=dict)
    destination_rules: Mapping[ObjectName, DestinationRule] = field(default_factory=dict)
