"""What clusters share: limits, health checks, protocol options. Pure."""

from collections.abc import Sequence
from typing import Final

from controlplane.xds.resources.balancing import LEAST_REQUEST
from controlplane.xds.resources.names import Tree, seconds, typed
from gateway.wire import protocol

# Envoy's own limits (1024) are for services that answer in milliseconds. Answers here last minutes, and the picker
# bounds what a pool takes; these only stop a runaway.
RAISED_LIMIT: Final = 100_000
# Below the keep-alive of uvicorn (5 s), which model servers run on: Envoy closes first, so no request meets a reset.
UPSTREAM_IDLE_TIMEOUT: Final = "4s"
BBR_TIMEOUT_SECONDS: Final = 5.0  # parses up to 64 MiB; there is no request without it
BREAKERS: Final = ("max_connections", "max_pending_requests", "max_requests")
_PROTOCOL_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NO_PANIC: Final = {"healthy_panic_threshold": {"value": 0}}
# A processor that refuses or breaks off is left alone at the first sign, until a health check succeeds.
_FIRST_SIGN: Final = {
    "consecutive_5xx": 0,
    "consecutive_gateway_failure": 0,
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 1,
    "enforcing_local_origin_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "1s",
    "max_ejection_time": "5s",
    "max_ejection_percent": 100,
}
CODEC: Final[Tree] = {  # the last filter of a cluster that has any
    "name": "envoy.filters.http.upstream_codec",
    "typed_config": typed("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"),
}


def grpc(limit: int, timeout: float) -> Tree:
    """What both ext_proc servers share: HTTP/2, one stream per request in flight. `timeout` is that of a message.

    When all of them look dead, the last known ones are asked all the same: a stall is not a death, and what is dead
    refuses at once. So a health check may be much faster than a question, and a hung one of several is passed over
    before a question to it has timed out.
    """
    check = {
        "timeout": seconds(timeout / 4),
        "interval": seconds(min(timeout / 4, 1.0)),
        "unhealthy_threshold": 1,
        "grpc_health_check": {"service_name": protocol.EXT_PROC_SERVICE},
    }
    return {
        **processor(limit, check, panic=1.0),
        "typed_extension_protocol_options": protocol_options(
            {
                "http2_protocol_options": {
                    "initial_stream_window_size": 1024 * 1024,
                    "initial_connection_window_size": 16 * 1024 * 1024,
                    # Longer than a stall: what a closed connection ends, a picker takes for the end of the answers.
                    "connection_keepalive": {"interval": "10s", "timeout": "10s"},
                }
            }
        ),
    }


def processor(limit: int, check: Tree, panic: float) -> Tree:
    """What all clusters of processors share. One that is back is asked within a quarter of a second. With less than
    `panic` percent of them healthy all are asked."""
    checked = {"unhealthy_interval": "0.25s", "no_traffic_interval": check["interval"], "healthy_threshold": 1}
    return {
        "load_balancing_policy": {"policies": [LEAST_REQUEST]},
        "circuit_breakers": {"thresholds": [{**dict.fromkeys(BREAKERS, limit), "max_retries": limit}]},
        # Envoy's workers learn of a change at once, and not with all changes of a second.
        "common_lb_config": {"healthy_panic_threshold": {"value": panic}, "update_merge_window": "0s"},
        "health_checks": [{**checked, **check}],
        "ignore_health_on_host_removal": True,  # one that has left its Service is not asked while it still answers
        "outlier_detection": _FIRST_SIGN,
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
