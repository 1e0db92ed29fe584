"""Envoy listeners: one per port, with the HTTP filters that every request passes. Pure."""

from collections.abc import Sequence
from typing import Final

from controlplane.options import Options
from controlplane.plan.lifting import Lift
from controlplane.plan.pickers import Picker
from controlplane.plan.planning import Port
from controlplane.xds.resources import (
    client_headers,
    cors,
    names,
    persistence,
    picker_filters,
    protection,
    rate_limits,
    secrets,
    usage,
    websockets,
)
from controlplane.xds.resources.access_logs import HEARTBEATS, attempt_logs, file_log, picker_logs
from controlplane.xds.resources.names import Tree, seconds, typed
from controlplane.xds.resources.protection import Stage
from controlplane.xds.resources.replies import local_reply_config
from controlplane.xds.resources.scripts import script
from controlplane.xds.resources.sources import config_source
from controlplane.xds.resources.upstream import BBR_TIMEOUT_SECONDS
from gateway.wire import protocol

# A body is buffered up to the virtual host's limit; this bounds what is read ahead on a connection beyond that.
CONNECTION_BUFFER_BYTES: Final = 1024 * 1024
# Envoy trusts x-envoy-* headers (retries, timeouts) of internal clients, by default every private address.
NOBODY: Final = {"address_prefix": "255.255.255.255", "prefix_len": 32}


def router(pickers: Sequence[Picker], options: Options) -> Tree:
    """The last HTTP filter of a listener."""
    kind = "envoy.extensions.filters.http.router.v3.Router"
    return {
        "name": "envoy.filters.http.router",
        "typed_config": typed(kind, upstream_log=attempt_logs(pickers, options)),
    }


def listener(port: Port, routes: str, pickers: Sequence[Picker], options: Options) -> Tree:
    """The listener of one port. Its routes come by RDS, so that an edit leaves connections alone."""
    name = names.listener(port.number)
    manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        rds={"route_config_name": routes, "config_source": config_source(names.ROUTES_TYPE, routes, options)},
        **_client_facing(port, options),
        **_tracing(options),
        early_header_mutation_extensions=[client_headers.stripping(options)],
        http_filters=_http_filters(port, pickers, options),
        local_reply_config=local_reply_config(),
        access_log=[*picker_logs(pickers, options), *file_log(options)],
        access_log_options=HEARTBEATS,
    )
    return names.resource(
        names.LISTENER_TYPE,
        name=name,
        address={"socket_address": {"address": options.listen_address, "port_value": port.bound}},
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER_BYTES,
        **_chains(port, manager, options),
    )


def _chains(port: Port, manager: Tree, options: Options) -> Tree:
    """One chain of filters for plaintext; with TLS one for each server name, all with the same routes."""
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    if not port.tls:
        return {"filter_chains": [{"filters": filters}]}
    inspector = typed("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")
    return {
        "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": inspector}],
        "filter_chains": [
            {
                **({"filter_chain_match": {"server_names": [host.hostname]}} if host.hostname else {}),
                "filters": filters,
                "transport_socket": secrets.socket(host, options),
            }
            for host in port.tls
        ],
    }


def _client_facing(port: Port, options: Options) -> Tree:
    """Limits on what a client may do, and no trust in its x-envoy-* headers wherever it connects from."""
    return {
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [NOBODY]},
        # A path means the same to a route and to the server behind it.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "stream_idle_timeout": seconds(options.stream_idle_timeout),
        "request_headers_timeout": "10s",
        "request_timeout": seconds(options.upload_timeout),
        "drain_timeout": "30s",
        # An answer that breaks off ends so long after its last byte. It is also the time that a client has to read an
        # early answer while it sends a body, before the reset that follows.
        "delayed_close_timeout": "0.1s",
        "always_set_request_id_in_response": True,
        "preserve_external_request_id": True,  # a client's own id is what it asks about later; nothing is keyed by it
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        # RFC 9110 §7.8: a server may ignore Upgrade. Clients offer TLS or h2c with plain requests, and mean no tunnel.
        "http_protocol_options": {
            "ignore_http_11_upgrade": websockets.ignored(port.hosts),
            **({"accept_http_10": True} if options.serves_http10 else {}),
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 1000,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 16 * 1024 * 1024,
        },
    }


def _tracing(options: Options) -> Tree:
    """A span for each request, by OpenTelemetry; the context goes on to the picker and the model server."""
    if options.tracing_collector is None:
        return {}
    provider = typed(
        "envoy.config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": names.COLLECTOR_CLUSTER}, "timeout": "1s"},
        service_name="pointsman-gateway",
    )
    sampling = {"random_sampling": {"value": options.tracing_sampling}}
    return {"tracing": {"provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider}, **sampling}}


# --- Filters ---------------------------------------------------------------------------------------------------------


def _http_filters(port: Port, pickers: Sequence[Picker], options: Options) -> list[Tree]:
    lifts = {Lift.BBR: [_bbr_filter(options)], Lift.SCRIPT: [_script_filter()], Lift.NONE: []}
    return [
        *protection.filters(Stage.EARLY, port.hosts),
        *lifts[port.lifting.lift],
        *cors.filters(port.hosts),
        *protection.filters(Stage.LATE, port.hosts),
        *(rate_limits.filters(options) if port.is_counted else []),
        *picker_filters.filters(pickers, options),
        *persistence.filters(port.hosts),
        *(usage.filters() if _reads_answers(port, pickers, options) else []),
        router(pickers, options),
    ]


def _reads_answers(port: Port, pickers: Sequence[Picker], options: Options) -> bool:
    counts = any(entry.costs for host in port.hosts for entry in host.entries)
    return options.usage_extraction and (bool(pickers) or counts or port.is_counted)


def _script_filter() -> Tree:
    """Lifts the model without a call. A body that is no JSON, or names no model, goes on without the header."""
    return {
        "name": names.LIFT_FILTER,
        "typed_config": typed(
            "envoy.extensions.filters.http.lua.v3.Lua",
            default_source_code={"inline_string": script("model_lift")},
            clear_route_cache=True,
        ),
    }


def _bbr_filter(options: Options) -> Tree:
    """Before routing, so that its headers choose the route. Without it no model is known: it fails closed."""
    kept = {"receiving_namespaces": {"untyped": [protocol.LB_NAMESPACE]}}  # under which a fused picker finds the body
    return {
        "name": names.BBR_FILTER,
        "typed_config": typed(
            "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            stat_prefix="bbr",
            grpc_service={"envoy_grpc": {"cluster_name": names.BBR_CLUSTER}},
            failure_mode_allow=False,
            status_on_error={"code": "ServiceUnavailable"},
            message_timeout=seconds(BBR_TIMEOUT_SECONDS),
            route_cache_action="DEFAULT",
            **({"metadata_options": kept} if options.fused else {}),
            processing_mode={
                "request_header_mode": "SEND",
                "request_body_mode": "BUFFERED",
                "response_header_mode": "SKIP",
                "response_body_mode": "NONE",
            },
        ),
    }
