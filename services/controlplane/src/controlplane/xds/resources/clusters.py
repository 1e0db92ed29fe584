"""Envoy's clusters of pools and plain Services, the body-based router's, and their endpoints. Pure."""

import ipaddress
from collections.abc import Iterable
from typing import Final

from controlplane.options import Options
from controlplane.plan.pools import PlannedPool
from controlplane.plan.services import PlannedService
from controlplane.xds.resources import names, retries
from controlplane.xds.resources.balancing import LEAST_REQUEST, NEVER, override_host
from controlplane.xds.resources.names import Tree
from controlplane.xds.resources.sources import config_source
from controlplane.xds.resources.upstream import NO_PANIC, RAISED_LIMIT, grpc, http1, http2, with_filters
from gateway.kube.objects import FailureMode

CONNECT_TIMEOUT: Final = "1s"
# A retry counts until its answer ends, which may be minutes. So as many may be open as there are requests: a server
# that dies costs each of its requests one retry, however many it had.
RETRY_BUDGET: Final[Tree] = {"budget_percent": {"value": 100.0}, "min_retry_concurrency": 64}
_RESOLVED: Final[Tree] = {
    "type": "STRICT_DNS",
    "dns_refresh_rate": "1s",
    "respect_dns_ttl": False,
    "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "1s"},
}
_SERVING: Final[Tree] = {
    "circuit_breakers": {
        "thresholds": [
            {
                "max_connections": RAISED_LIMIT,
                "max_pending_requests": RAISED_LIMIT,
                "max_requests": RAISED_LIMIT,
                "retry_budget": RETRY_BUDGET,
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
    "common_lb_config": NO_PANIC,
    "upstream_connection_options": {
        "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 10}
    },
}


def pool_cluster(planned: PlannedPool, options: Options) -> Tree:
    """A pool: Envoy follows the picker's list, and by failure mode balances itself or refuses without one."""
    pool = planned.pool
    policy: object = LEAST_REQUEST
    metadata: Tree = {"pool": str(pool.meta.id)}
    mode = planned.failure_mode
    if mode is not None:
        policy = override_host(NEVER if mode is FailureMode.CLOSE else LEAST_REQUEST)
        metadata["failure_mode"] = mode.value
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.pool_cluster(pool.meta.id), options),
        connect_timeout=CONNECT_TIMEOUT,
        metadata={"filter_metadata": {names.CLUSTER_METADATA: metadata}},
        load_balancing_policy={"policies": [policy]},
        typed_extension_protocol_options=with_filters(http2() if pool.h2c else http1(), retries.upstream_filters()),
        **_SERVING,
    )


def service_cluster(planned: PlannedService, options: Options) -> Tree:
    """One port of a plain Service, balanced by Envoy."""
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.service_cluster(planned.ref.id, planned.ref.port), options),
        connect_timeout=CONNECT_TIMEOUT,
        load_balancing_policy={"policies": [LEAST_REQUEST]},
        typed_extension_protocol_options=http2() if planned.h2c else http1(),
        **_SERVING,
    )


def bbr_cluster(host: str, port: int) -> Tree:
    """The body-based router. Envoy resolves it when it is a name."""
    return names.resource(
        names.CLUSTER_TYPE,
        name=names.BBR_CLUSTER,
        **({"type": "STATIC"} if _is_ip(host) else _RESOLVED),
        connect_timeout="0.5s",
        **grpc(RAISED_LIMIT),
        load_assignment=load_assignment(names.BBR_CLUSTER, [(host, port)]),
    )


def by_eds(name: str, options: Options) -> Tree:
    """The fields of a cluster whose endpoints are a resource of their own."""
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": config_source(names.ENDPOINTS_TYPE, name, options)},
    }


def assignment(cluster: str, endpoints: Iterable[tuple[str, int]]) -> Tree:
    """The endpoints of a cluster as a resource."""
    return names.resource(names.ENDPOINTS_TYPE, **load_assignment(cluster, endpoints))


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


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
