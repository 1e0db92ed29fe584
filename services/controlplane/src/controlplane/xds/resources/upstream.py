"""What clusters share: limits, health checks, protocol options. Pure."""

from collections.abc import Sequence
from typing import Final

from controlplane.xds.resources.balancing import LEAST_REQUEST
from controlplane.xds.resources.names import Tree, typed
from gateway.wire import protocol

# Envoy's own limits (1024) are for services that answer in milliseconds. Answers here last minutes, and the picker
# bounds what a pool takes; these only stop a runaway.
RAISED_LIMIT: Final = 100_000
# Below the keep-alive of uvicorn (5 s), which model servers run on: Envoy closes first, so no request meets a reset.
UPSTREAM_IDLE_TIMEOUT: Final = "4s"
BREAKERS: Final = ("max_connections", "max_pending_requests", "max_requests")
CHECKED: Final = {
    "timeout": "0.5s",
    "interval": "1s",
    "no_traffic_interval": "1s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
}
_PROTOCOL_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NO_PANIC: Final = {"healthy_panic_threshold": {"value": 0}}


CODEC: Final[Tree] = {  # the last filter of a cluster that has any
    "name": "envoy.filters.http.upstream_codec",
    "typed_config": typed("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"),
}


def grpc(limit: int) -> Tree:
    """What both ext_proc servers share: HTTP/2, health checks, no panic, one stream per request in flight."""
    return {
        "load_balancing_policy": {"policies": [LEAST_REQUEST]},
        "circuit_breakers": {"thresholds": [dict.fromkeys(BREAKERS, limit)]},
        "common_lb_config": NO_PANIC,
        "health_checks": [{**CHECKED, "grpc_health_check": {"service_name": protocol.EXT_PROC_SERVICE}}],
        "typed_extension_protocol_options": protocol_options(
            {
                "http2_protocol_options": {
                    "initial_stream_window_size": 1024 * 1024,
                    "initial_connection_window_size": 16 * 1024 * 1024,
                    "connection_keepalive": {"interval": "10s", "timeout": "2s"},
                }
            }
        ),
    }


def http1(common: Tree, **fields: object) -> Tree:
    """HTTP/1.1 to model servers and plain Services."""
    return protocol_options({"http_protocol_options": {}}, common_http_protocol_options=common, **fields)


def http2(**fields: object) -> Tree:
    """HTTP/2 with Envoy's own options."""
    return protocol_options({"http2_protocol_options": {}}, **fields)


def with_filters(options: Tree, filters: Sequence[Tree]) -> Tree:
    """Protocol options with filters that every attempt of a request passes."""
    found = options[_PROTOCOL_OPTIONS]
    assert isinstance(found, dict)
    return {_PROTOCOL_OPTIONS: {**found, "http_filters": list(filters)}}


def protocol_options(explicit: Tree, **fields: object) -> Tree:
    """The protocol that Envoy speaks to a cluster."""
    return {_PROTOCOL_OPTIONS: typed(_PROTOCOL_OPTIONS, explicit_http_config=explicit, **fields)}
