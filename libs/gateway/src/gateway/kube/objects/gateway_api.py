"""The Gateway API's kinds: Gateway, HTTPRoute, ReferenceGrant. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.kube.objects.costs import RequestCost
from gateway.kube.objects.meta import INFERENCE_GROUP, INFERENCE_X_GROUP, LabelSelector, Meta, ObjectName


class NamespacesFrom(StrEnum):
    ALL = "All"
    SAME = "Same"
    SELECTOR = "Selector"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class CertificateRef:
    """An object that holds a certificate and its key."""

    group: str
    kind: str
    id: ObjectName


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """`is_terminated`: here and not behind. `validates_clients`: by certificates of their own."""

    is_terminated: bool
    certificates: tuple[CertificateRef, ...]
    validates_clients: bool


@dataclass(frozen=True, slots=True)
class Listener:
    name: str
    hostname: str  # empty: every host
    port: int
    protocol: str
    namespaces_from: NamespacesFrom
    namespace_selector: LabelSelector
    route_kinds: tuple[str, ...]  # empty: those of the protocol
    tls: ListenerTls | None = None


@dataclass(frozen=True, slots=True)
class ParametersRef:
    """The object that says how the infrastructure of a Gateway, or of all Gateways of a class, is to be."""

    group: str
    kind: str
    id: ObjectName

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class GatewayClass:
    """`controller` is the name of who serves the Gateways of this class."""

    meta: Meta
    controller: str
    parameters: ParametersRef | None = None


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What a controller that deploys something for a Gateway puts on it. Traffic does not depend on it."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    parameters: ParametersRef | None = None


NO_INFRASTRUCTURE: Final = Infrastructure()


@dataclass(frozen=True, slots=True)
class Gateway:
    """`costs` are those that a GatewayConfig of Envoy AI Gateway sets for its routes."""

    meta: Meta
    class_name: str
    listeners: tuple[Listener, ...]
    addresses: tuple[str, ...] = ()  # where it is wanted: IP addresses and host names
    costs: tuple[RequestCost, ...] = ()
    infrastructure: Infrastructure = NO_INFRASTRUCTURE


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
    CORS = "CORS"


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
class Cors:
    """Which pages of other origins may send requests. An origin is `*`, or a scheme with a host that may begin with
    `*.`; `*` among methods or headers means all of them."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age: int  # seconds
    credentials: bool


@dataclass(frozen=True, slots=True)
class UnservedFilter:
    """A filter that the API knows and this project does not have. A request that it is for may not pass without it.

    `reference` is the object that an ExtensionRef names.
    """

    type: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is changed in each request to a backend, whichever attempt reaches it. `fields` are members of a JSON body
    with their values as JSON; `prefix` stands instead of the path's `/v1`."""

    set_headers: tuple[tuple[str, str], ...] = ()
    removed_headers: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    removed_fields: tuple[str, ...] = ()
    prefix: str = ""

    def then(self, later: "Changes") -> "Changes":
        """These changes and others after them, which win."""
        headers = dict(self.set_headers) | dict(later.set_headers)
        fields = dict(self.fields) | dict(later.fields)
        return Changes(
            tuple((name, value) for name, value in headers.items() if name not in later.removed_headers),
            tuple(dict.fromkeys((*self.removed_headers, *later.removed_headers))),
            tuple((name, value) for name, value in fields.items() if name not in later.removed_fields),
            tuple(dict.fromkeys((*self.removed_fields, *later.removed_fields))),
            later.prefix or self.prefix,
        )


NO_CHANGES: Final = Changes()


@dataclass(frozen=True, slots=True)
class WrittenRef:
    """A reference as its author wrote it: by an object of which kind, and to what. ReferenceGrants are about this."""

    by_group: str
    by_kind: str
    group: str
    kind: str
    id: ObjectName


@dataclass(frozen=True, slots=True)
class BackendRef:
    """`is_bare`: neither group nor kind was written, which means a Service to the API. A backend of a higher `priority`
    number is for requests that none of a lower one could serve. `written` is what stands in the object, where that
    leads on to this one."""

    group: str
    kind: str
    id: ObjectName
    port: int | None
    weight: int
    filters: "tuple[RouteFilter, ...]"
    is_bare: bool = False
    priority: int = 0
    changes: Changes = NO_CHANGES
    written: WrittenRef | None = None

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


RouteFilter = HeaderModifier | Redirect | Rewrite | Mirror | Cors | UnservedFilter


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None: not written, 0: none. `stream_idle` is how long an attempt may send nothing."""

    request: float | None = None
    backend_request: float | None = None
    stream_idle: float | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """When an attempt is followed by another one. Empty or None: not written. `backoff` in seconds."""

    codes: tuple[int, ...] = ()
    attempts: int | None = None
    backoff: float | None = None


@dataclass(frozen=True, slots=True)
class SessionPersistence:
    """Requests of one session go to one endpoint while it lives, by a token in a header or a cookie of this name.
    `lifetime`: seconds after which a browser forgets the cookie; None: when it is closed."""

    name: str
    is_header: bool
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class RouteRule:
    name: str
    matches: tuple[RouteMatch, ...]
    filters: tuple[RouteFilter, ...]
    backends: tuple[BackendRef, ...]
    timeouts: Timeouts
    retry: Retry | None = None
    session: SessionPersistence | None = None


@dataclass(frozen=True, slots=True)
class HTTPRoute:
    """`costs` are what its requests' costs are written to; None where it stands for no AIGatewayRoute."""

    meta: Meta
    parents: tuple[ParentRef, ...]
    hostnames: tuple[str, ...]
    rules: tuple[RouteRule, ...]
    costs: tuple[RequestCost, ...] | None = None


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
