"""Envoy clusters and their endpoints: pools, plain Services, endpoint pickers, the body-based router. Pure."""

import ipaddress
from collections.abc import Iterable
from typing import Final

from controlplane import names
from controlplane.names import Tree, seconds, typed
from controlplane.options import Options
from controlplane.pickers import Picker
from gateway.kube.objects import FailureMode, InferencePool, TlsMode, TlsSettings
from gateway.wire import protocol

# Envoy's own limits (1024) are for services that answer in milliseconds. Answers here last minutes, and the picker
# bounds what a pool takes; these only stop a runaway.
RAISED_LIMIT: Final = 100_000
CONNECT_TIMEOUT: Final = "1s"
# Below the keep-alive of uvicorn (5 s), which model servers run on: Envoy closes first, so no request meets a reset.
UPSTREAM_IDLE_TIMEOUT: Final = "4s"
SYSTEM_CA: Final = "/etc/ssl/certs/ca-certificates.crt"
_LEAST_REQUEST: Final = {
    "typed_extension_config": {
        "name": "envoy.load_balancing_policies.least_request",
        "typed_config": typed("envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"),
    }
}
# A policy that can select nothing: a request without a pick gets 503. This is FailClose without failing the ext_proc
# stream, which would also cut answers in flight when a picker dies.
_NEVER: Final = {
    "typed_extension_config": {
        "name": "envoy.load_balancing_policies.subset",
        "typed_config": typed(
            "envoy.extensions.load_balancing_policies.subset.v3.Subset",
            fallback_policy="NO_FALLBACK",
            subset_selectors=[{"keys": ["never"]}],
            subset_lb_policy={
                "policies": [
                    {
                        "typed_extension_config": {
                            "name": "envoy.load_balancing_policies.round_robin",
                            "typed_config": typed("envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"),
                        }
                    }
                ]
            },
        ),
    }
}


def pool_cluster(pool: InferencePool, options: Options) -> Tree:
    """A pool: Envoy follows the picker's list, and by failure mode balances itself or refuses without one."""
    name = names.pool_cluster(pool.meta.id)
    policy: object = _LEAST_REQUEST
    metadata: Tree = {"pool": str(pool.meta.id)}
    if pool.picker is not None:
        closed = pool.picker.failure_mode is FailureMode.CLOSE
        policy = _override_host(_NEVER if closed else _LEAST_REQUEST)
        metadata["failure_mode"] = pool.picker.failure_mode.value
    return {
        **_eds(name, options),
        "connect_timeout": CONNECT_TIMEOUT,
        "metadata": {"filter_metadata": {names.CLUSTER_METADATA: metadata}},
        "load_balancing_policy": {"policies": [policy]},
        "typed_extension_protocol_options": _http2() if pool.h2c else _http1(),
        **_SERVING,
    }


def service_cluster(name: str, options: Options, *, h2c: bool) -> Tree:
    return {
        **_eds(name, options),
        "connect_timeout": CONNECT_TIMEOUT,
        "load_balancing_policy": {"policies": [_LEAST_REQUEST]},
        "typed_extension_protocol_options": _http2() if h2c else _http1(),
        **_SERVING,
    }


def picker_cluster(picker: Picker, options: Options) -> Tree:
    """The picker's gRPC door. Health checks take a dead replica out before a request waits for it."""
    rule = picker.rule
    limit = (rule.max_requests if rule else None) or RAISED_LIMIT
    timeout = (rule.connect_timeout if rule else None) or 0.5
    tls = _tls(rule.tls, picker.hostname) if rule and rule.tls else None
    return {
        **_eds(picker.cluster, options),
        "connect_timeout": seconds(timeout),
        **_grpc(limit),
        **({"transport_socket": tls} if tls else {}),
    }


def picker_http_cluster(picker: Picker, options: Options) -> Tree:
    """The picker's HTTP door. Every path of it belongs to clients, so a health check carries a mark."""
    marked = {"header": {"key": protocol.PICKER_HEALTH, "value": "true"}}
    check = {"path": "/", "host": picker.hostname, "request_headers_to_add": [marked]}
    return {
        **_eds(picker.http_cluster, options),
        # As long as a question has: a shorter one could be over as it begins, since Envoy's clock stands still while a
        # script reads a large body.
        "connect_timeout": seconds(options.picker_timeout),
        "load_balancing_policy": {"policies": [_LEAST_REQUEST]},
        "circuit_breakers": {"thresholds": [dict.fromkeys(_BREAKERS, RAISED_LIMIT)]},
        "common_lb_config": _NO_PANIC,
        "health_checks": [{**_CHECKED, "http_health_check": check}],
        "typed_extension_protocol_options": _protocol({"http_protocol_options": {}}),
    }


def bbr_cluster(host: str, port: int) -> Tree:
    """The body-based router, resolved by Envoy when it is a name."""
    return {
        "name": names.BBR_CLUSTER,
        "type": "STATIC" if _is_ip(host) else "STRICT_DNS",
        **(
            {}
            if _is_ip(host)
            else {
                "dns_refresh_rate": "1s",
                "respect_dns_ttl": False,
                "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "1s"},
            }
        ),
        "connect_timeout": "0.5s",
        **_grpc(RAISED_LIMIT),
        "load_assignment": load_assignment(names.BBR_CLUSTER, [(host, port)]),
    }


def load_assignment(cluster: str, endpoints: Iterable[tuple[str, int]]) -> Tree:
    """Every endpoint of a cluster, all alike."""
    return {
        "cluster_name": cluster,
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
                    for address, port in endpoints
                ]
            }
        ],
    }


def _eds(name: str, options: Options) -> Tree:
    path = f"{options.xds_dir}/eds/{name}.json"
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"},
        },
    }


def _override_host(fallback: object) -> Tree:
    """Only dynamic metadata is read, never a header: a client cannot steer. Whichever door was asked has written it, so
    that changing the door leaves the cluster as it is."""
    namespaces = (protocol.LB_NAMESPACE, names.HTTP_NAMESPACE)
    sources = [{"metadata": {"key": key, "path": [{"key": protocol.DESTINATION_ENDPOINT}]}} for key in namespaces]
    served = {"key": protocol.LB_NAMESPACE, "path": [{"key": protocol.DESTINATION_SERVED}]}
    return {
        "typed_extension_config": {
            "name": "envoy.load_balancing_policies.override_host",
            "typed_config": typed(
                "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
                override_host_sources=sources,
                selected_host_key=served,
                fallback_policy={"policies": [fallback]},
            ),
        }
    }


_BREAKERS: Final = ("max_connections", "max_pending_requests", "max_requests")
_CHECKED: Final = {
    "timeout": "0.5s",
    "interval": "1s",
    "no_traffic_interval": "1s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
}
_NO_PANIC: Final = {"healthy_panic_threshold": {"value": 0}}
_SERVING: Final[Tree] = {
    "circuit_breakers": {
        "thresholds": [
            {
                "max_connections": RAISED_LIMIT,
                "max_pending_requests": RAISED_LIMIT,
                "max_requests": RAISED_LIMIT,
                "max_retries": 64,
            }
        ]
    },
    "outlier_detection": {
        "consecutive_5xx": 0,
        "consecutive_gateway_failure": 5,
        "enforcing_consecutive_gateway_failure": 100,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "interval": "2s",
        "base_ejection_time": "10s",
        "max_ejection_percent": 50,
    },
    "common_lb_config": _NO_PANIC,
    "upstream_connection_options": {
        "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 10}
    },
}


def _grpc(limit: int) -> Tree:
    """What both ext_proc servers share: HTTP/2, health checks, no panic, one stream per request in flight."""
    return {
        "load_balancing_policy": {"policies": [_LEAST_REQUEST]},
        "circuit_breakers": {"thresholds": [dict.fromkeys(_BREAKERS, limit)]},
        "common_lb_config": _NO_PANIC,
        "health_checks": [{**_CHECKED, "grpc_health_check": {"service_name": protocol.EXT_PROC_SERVICE}}],
        "typed_extension_protocol_options": _http2(
            initial_stream_window_size=1024 * 1024,
            initial_connection_window_size=16 * 1024 * 1024,
            connection_keepalive={"interval": "10s", "timeout": "2s"},
        ),
    }


def _http1() -> Tree:
    return _protocol(
        {"http_protocol_options": {}}, common_http_protocol_options={"idle_timeout": UPSTREAM_IDLE_TIMEOUT}
    )


def _http2(**options: object) -> Tree:
    return _protocol({"http2_protocol_options": options})


def _protocol(explicit: Tree, **fields: object) -> Tree:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {name: typed(name, explicit_http_config=explicit, **fields)}


def _tls(settings: TlsSettings, hostname: str) -> Tree | None:
    """An Istio DestinationRule's TLS. insecureSkipVerify accepts the self-signed certificate that pickers come with."""
    if settings.mode is TlsMode.DISABLE:
        return None
    if settings.insecure_skip_verify:
        validation: Tree = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    else:
        validation = {"trusted_ca": {"filename": settings.ca_certificates or SYSTEM_CA}}
        if settings.subject_alt_names:
            validation["match_typed_subject_alt_names"] = [
                {"san_type": "DNS", "matcher": {"exact": name}} for name in settings.subject_alt_names
            ]
    context: Tree = {"alpn_protocols": ["h2"], "validation_context": validation}
    if settings.client_certificate:
        context["tls_certificates"] = [
            {
                "certificate_chain": {"filename": settings.client_certificate},
                "private_key": {"filename": settings.private_key},
            }
        ]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=settings.sni or hostname,
            common_tls_context=context,
        ),
    }


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
