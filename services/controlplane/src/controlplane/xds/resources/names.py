"""Names of Envoy's resources and types, and how their JSON is spelt. Pure.

Kubernetes names hold no underscore, so a name joined by underscores belongs to exactly one object.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from controlplane.options import PickerBody
from controlplane.plan.credentials import Credential
from controlplane.plan.pickers import Picker
from gateway.kube.objects import ObjectName
from gateway.wire import protocol

Tree = dict[str, object]


class Concealed(str):
    """A credential within a resource. What people are shown has something else in its place."""

    __slots__ = ()


_URL: Final = "type.googleapis.com/"
# Type URLs of resources: what a snapshot is keyed by, and what Envoy subscribes to.
CLUSTER_TYPE: Final = f"{_URL}envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE: Final = f"{_URL}envoy.config.endpoint.v3.ClusterLoadAssignment"
ROUTES_TYPE: Final = f"{_URL}envoy.config.route.v3.RouteConfiguration"
LISTENER_TYPE: Final = f"{_URL}envoy.config.listener.v3.Listener"
SECRET_TYPE: Final = f"{_URL}envoy.extensions.transport_sockets.tls.v3.Secret"

BBR_CLUSTER: Final = "bbr"
STORED_CLUSTER: Final = "stored"
QUOTA_CLUSTER: Final = "quotas"
COLLECTOR_CLUSTER: Final = "tracing_collector"
# Clusters that do not exist: a route to one is answered by Envoy itself, after the filters have run. A direct response
# would do the same but cap request bodies before the body-based router has seen them.
ABSENT_CLUSTER: Final = "none"

# Names of the routes that only explain; the local reply of each says so.
MODEL_NOT_FOUND: Final = "model-not-found"
MODEL_MISSING: Final = "model-missing"
ROUTE_NOT_FOUND: Final = "route-not-found"
INVALID_BACKEND: Final = "invalid-backend"
INVALID_FILTER: Final = "invalid-filter"
RESTRICTED: Final = "restricted"
PICKER_REFUSED: Final = "picker-refused"
PICKER_FAILED: Final = "picker-failed"
MODELS: Final = "models"
KNOWN_MODELS: Final = "known-models"
STORED: Final = "stored"
HEALTH: Final = "health"

TTFT_FILTER: Final = "envoy.filters.http.ext_proc/first_token"
EPP_FILTER: Final = "envoy.filters.http.ext_proc/epp"
EPP_RETRY_FILTER: Final = "envoy.filters.http.ext_proc/epp_retry"
HTTP_FILTER: Final = protocol.EXT_AUTHZ_NAMESPACE  # the filter bears the same name
SESSION_FILTER: Final = "envoy.filters.http.stateful_session"
RATE_LIMIT_FILTER: Final = "envoy.filters.http.ratelimit"
CORS_FILTER: Final = "envoy.filters.http.cors"
LIFT_FILTER: Final = "envoy.filters.http.lua/model"
BBR_FILTER: Final = "envoy.filters.http.ext_proc/bbr"
COSTS_FILTER: Final = "envoy.filters.http.lua/costs"
JSON_USAGE_FILTER: Final = "envoy.filters.http.json_to_metadata"
STREAM_USAGE_FILTER: Final = "envoy.filters.http.lua"
OUTGOING_FILTER: Final = "envoy.filters.http.lua/outgoing"  # a name of its own: settings of a route go by it
CLUSTER_METADATA: Final = "pointsman"
MODELS_METADATA: Final = "models"  # of a route, beside that of clusters


def pool_cluster(pool: ObjectName) -> str:
    return protocol.POOL_CLUSTER(*pool)


def service_cluster(service: ObjectName, port: int) -> str:
    return f"service_{service.namespace}_{service.name}_{port}"


def picker_cluster(picker: Picker) -> str:
    kind = "epp-duplex" if picker.body is PickerBody.FULL_DUPLEX else "epp"
    return f"{kind}_{picker.service.namespace}_{picker.service.name}_{picker.port}"


def picker_log_cluster(picker: Picker, share: int) -> str:
    """A share of a picker's replicas, as where the access log goes."""
    return f"picker-log-{share}_{picker.service.namespace}_{picker.service.name}_{picker.port}"


def picker_http_cluster(picker: Picker) -> str:
    return f"epp-http_{picker.service.namespace}_{picker.service.name}_{picker.http_port}"


def secret(secret: ObjectName) -> str:
    return f"secret_{secret.namespace}_{secret.name}"


def credential(credential: Credential) -> str:
    return f"key_{credential.secret.namespace}_{credential.secret.name}_{credential.header}"


def key_set_cluster(uri: str) -> str:
    """The server of a key set, whatever its path."""
    scheme, host, port = server_of(uri)
    return f"jwks_{scheme}_{host}_{port}"


def server_of(uri: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URI."""
    found = urlsplit(uri)
    return found.scheme, found.hostname or "", found.port or (443 if found.scheme == "https" else 80)


def share_cluster(own: str) -> str:
    return f"share_{own}"


def takeover(own: str) -> str:
    """A listener within Envoy, and the beginning of the name of its routes."""
    return f"takeover_{own}"


def listener(port: int) -> str:
    return f"listener_{port}"


def routes(listener: str, filters: Iterable[str]) -> str:
    """The route configuration of a listener, named after the filters that it is written for. When those change, old
    connections stay with the old filters for a while; so they do with the old routes."""
    return "_".join((listener, *filters))


def resource(type_url: str, /, **fields: object) -> Tree:
    """A resource of one of the types above."""
    return {"@type": type_url, **fields}


def typed(type_name: str, /, **fields: object) -> Tree:
    """A message as Envoy's `Any`: `type_name` is its full protobuf name."""
    return {"@type": f"{_URL}{type_name}", **fields}


def seconds(value: float) -> str:
    """A protobuf duration."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
