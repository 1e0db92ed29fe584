"""Envoy AI Gateway's routes and backends, and Envoy Gateway's Backend, as far as they are acted on. Pure values."""

from dataclasses import dataclass
from typing import Final

from gateway.kube.objects.backend_tls import Validation
from gateway.kube.objects.costs import RequestCost
from gateway.kube.objects.gateway_api import NO_CHANGES, BackendRef, Changes, HTTPRoute
from gateway.kube.objects.meta import Meta, ObjectName
from gateway.kube.objects.policies import PolicyTarget

SERVED_SCHEMA: Final = "OpenAI"  # the API that clients speak, and the one of backends that are served


@dataclass(frozen=True, slots=True)
class AIGatewayRoute:
    """`route` is the HTTPRoute that it stands for; its backends may be AIServiceBackends."""

    meta: Meta
    route: HTTPRoute


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What Gateways share that name it in an annotation. `costs` are those of their AIGatewayRoutes."""

    meta: Meta
    costs: tuple[RequestCost, ...]


@dataclass(frozen=True, slots=True)
class AIServiceBackend:
    """Model servers that speak one API. `backend` is a Backend, a Service or an InferencePool; `security_policy` is the
    name by which older versions refer to a BackendSecurityPolicy."""

    meta: Meta
    schema: str
    backend: BackendRef
    changes: Changes = NO_CHANGES
    security_policy: str = ""


@dataclass(frozen=True, slots=True)
class BackendEndpoint:
    """An address or a host name."""

    host: str
    port: int
    is_name: bool


@dataclass(frozen=True, slots=True)
class Backend:
    """Endpoints that no Pod stands for. `tls` None: plaintext, unless a BackendTLSPolicy says otherwise. One that
    `is_fallback` is for requests that others of its rule could not serve."""

    meta: Meta
    endpoints: tuple[BackendEndpoint, ...]
    tls: Validation | None = None
    is_fallback: bool = False


@dataclass(frozen=True, slots=True)
class CredentialOverride:
    """Where a request may bring a key of its own: a header, or a member of Envoy's dynamic metadata. Without one the
    policy's own key is used if it `falls_back`, else the request is refused."""

    header: str = ""
    namespace: str = ""
    key: str = ""
    falls_back: bool = True


@dataclass(frozen=True, slots=True)
class BackendSecurityPolicy:
    """How the targets know the gateway. `secret` holds the key of a `type` that has one."""

    meta: Meta
    type: str
    secret: ObjectName | None
    targets: tuple[PolicyTarget, ...]
    override: CredentialOverride | None = None
