"""Envoy AI Gateway's routes and backends, and Envoy Gateway's Backend, as far as they are acted on. Pure values."""

from dataclasses import dataclass

from gateway.kube.objects.gateway_api import BackendRef, HTTPRoute
from gateway.kube.objects.meta import Meta


@dataclass(frozen=True, slots=True)
class AIGatewayRoute:
    """`route` is the HTTPRoute that it stands for; its backends may be AIServiceBackends."""

    meta: Meta
    route: HTTPRoute


@dataclass(frozen=True, slots=True)
class AIServiceBackend:
    """Model servers that speak one API. `backend` is a Backend, a Service or an InferencePool."""

    meta: Meta
    schema: str
    backend: BackendRef


@dataclass(frozen=True, slots=True)
class BackendEndpoint:
    """An address or a host name."""

    host: str
    port: int
    is_name: bool


@dataclass(frozen=True, slots=True)
class Backend:
    """Endpoints that no Pod stands for."""

    meta: Meta
    endpoints: tuple[BackendEndpoint, ...]
