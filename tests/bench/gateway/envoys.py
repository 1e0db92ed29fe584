"""How each row's Envoy starts. Pure.

Each row is an Envoy of its own, so that each can have exactly the configuration of its way: plain and duplex a static
file, the others what the control plane renders from the same manifests.
"""

import json
from pathlib import Path

from gateway.wire.protocol import DESTINATION_ENDPOINT, POOL_METADATA
from tests.bench.gateway.setting import DUPLEX, HOST, PLAIN, Ports, picker_of, way_of

IS_STATIC = (PLAIN, DUPLEX)


def bootstrap(row: str, ports: Ports, folder: Path) -> str:
    """The file that a row's Envoy reads first."""
    start: dict[str, object] = {
        "admin": {"address": _address(ports.admins[row])},
        "node": {"id": row, "cluster": "bench"},
    }
    way = way_of(row)
    if way == PLAIN:
        start["static_resources"] = {"listeners": [_listener(row, ports, [])], "clusters": [_plain_cluster(ports)]}
    elif way == DUPLEX:
        picker = ports.services[picker_of(row)].epp_grpc
        start["static_resources"] = {
            "listeners": [_listener(row, ports, [_duplex_filter()])],
            "clusters": [_picker_cluster(picker), _by_header_cluster()],
        }
    else:
        files = {f"{kind}_config": {"path_config_source": {"path": str(folder / row / f"{kind}.json")}}
                 for kind in ("lds", "cds")}  # fmt: skip
        start["dynamic_resources"] = {name: {**source, "resource_api_version": "V3"} for name, source in files.items()}
    return json.dumps(start)


def _typed(name: str, **fields: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/{name}", **fields}


def _address(port: int) -> object:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _listener(row: str, ports: Ports, filters: list[object]) -> object:
    router = _typed("envoy.extensions.filters.http.router.v3.Router")
    hosts = [{"name": "*", "domains": ["*"],
              "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "bench", "timeout": "0s"}}]}]  # fmt: skip
    manager = _typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        route_config={"virtual_hosts": hosts},
        http_filters=[*filters, {"name": "envoy.filters.http.router", "typed_config": router}],
    )
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": "bench", "address": _address(ports.gateways[row]), "filter_chains": [chain]}


def _duplex_filter() -> object:
    processor = _typed(
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={
            "envoy_grpc": {"cluster_name": "picker"},
            "initial_metadata": [{"key": POOL_METADATA, "value": "default/bench"}],
        },
        message_timeout="10s",
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "FULL_DUPLEX_STREAMED",
            "request_trailer_mode": "SEND",
            "response_header_mode": "SEND",
            "response_body_mode": "FULL_DUPLEX_STREAMED",
            "response_trailer_mode": "SEND",
        },
    )
    return {"name": "picker", "typed_config": processor}


_LIMITS = {
    "thresholds": [{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}],
}


def _picker_cluster(port: int) -> object:
    options = _typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}}
    )
    return {
        "name": "picker",
        "type": "STATIC",
        "circuit_breakers": _LIMITS,
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {
            "cluster_name": "picker",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}],
        },
    }


def _by_header_cluster() -> object:
    """The endpoint of the header, as most gateways take it. It has one address: the picker names no fallbacks here."""
    return {
        "name": "bench",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _LIMITS,
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": DESTINATION_ENDPOINT},
    }


def _plain_cluster(ports: Ports) -> object:
    return {
        "name": "bench",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": _LIMITS,
        "load_assignment": {
            "cluster_name": "bench",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}} for port in ports.upstreams]}],
        },
    }
