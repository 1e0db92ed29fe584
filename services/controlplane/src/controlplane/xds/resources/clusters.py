"""Envoy's clusters of pools and plain Services, the body-based router's, and their endpoints. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from controlplane.options import Options
from controlplane.plan.backend_tls import BackendTls
from controlplane.plan.connections import Connection, Group
from controlplane.plan.pools import PlannedPool
from controlplane.plan.services import PlannedService
from controlplane.xds.resources import first_token, names, outgoing, retries, traffic
from controlplane.xds.resources.balancing import LEAST_REQUEST, NEVER, ROUND_ROBIN, override_host
from controlplane.xds.resources.names import Tree, seconds
from controlplane.xds.resources.sources import config_source
from controlplane.xds.resources.tls import tls
from controlplane.xds.resources.upstream import (
    BBR_TIMEOUT_SECONDS,
    CODEC,
    RAISED_LIMIT,
    UPSTREAM_IDLE_TIMEOUT,
    grpc,
    http1,
    http2,
    with_filters,
)
from gateway.kube.objects import FailureMode, TrafficPolicy
from gateway.wire.ports import worker_port

_RESOLVED: Final[Tree] = {
    "type": "STRICT_DNS",
    "dns_refresh_rate": "1s",
    "respect_dns_ttl": False,
    "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "1s"},
}


def pool_cluster(planned: PlannedPool, options: Options) -> Tree:
    """A pool: Envoy follows the picker's list, and by failure mode balances itself or refuses without one."""
    pool = planned.pool
    policy: object = ROUND_ROBIN if planned.goes_in_turn else LEAST_REQUEST
    metadata: Tree = {"pool": str(pool.meta.id)}
    mode = planned.failure_mode
    if mode is not None:
        policy = override_host(NEVER if mode is FailureMode.CLOSE else LEAST_REQUEST)
        metadata["failure_mode"] = mode.value
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.pool_cluster(pool.meta.id), options),
        metadata={"filter_metadata": {names.CLUSTER_METADATA: metadata}},
        load_balancing_policy={"policies": [policy]},
        **speaking(
            [group.connection for group in planned.groups],
            options,
            h2c=pool.h2c,
            further=[*_holding(planned, options), *retries.upstream_filters(mode)],
        ),
        **traffic.serving(),
    )


def _holding(planned: PlannedPool, options: Options) -> Sequence[Tree]:
    if planned.picker is None or not planned.limits_first_token:
        return ()
    return (first_token.holding(planned.picker, options),)


def service_cluster(planned: PlannedService, options: Options) -> Tree:
    """One port of a plain Service, balanced by Envoy."""
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.service_cluster(planned.ref.id, planned.ref.port), options),
        load_balancing_policy={"policies": [traffic.balancing(planned.policy.balancer)]},
        **speaking([planned.group.connection], options, h2c=planned.h2c, policy=planned.policy),
        **traffic.serving(planned.policy),
    )


def speaking(
    connections: Sequence[Connection],
    options: Options,
    *,
    h2c: bool,
    policy: TrafficPolicy = traffic.USUAL,
    further: Sequence[Tree] = (),
) -> Tree:
    """The fields of a cluster for the protocol, for TLS, and for changes of requests on their way out. `further` are
    HTTP filters behind those, the codec last."""
    common: Tree = {"idle_timeout": seconds(policy.idle_timeout) if policy.idle_timeout else UPSTREAM_IDLE_TIMEOUT}
    if policy.requests_per_connection:
        common["max_requests_per_connection"] = policy.requests_per_connection
    changes = outgoing.filters(connections, options)
    filters = [*changes, *(further or ([CODEC] if changes else []))]
    spoken = http2() if h2c else http1(common)
    return {
        "typed_extension_protocol_options": with_filters(spoken, filters) if filters else spoken,
        **outgoing.sockets(connections, options),
        # A change of the body holds it until it is whole.
        **({"per_connection_buffer_limit_bytes": options.body_limit} if changes else {}),
    }


def bbr_cluster(host: str, port: int, workers: int) -> Tree:
    """The body-based router, each worker of it an endpoint."""
    return service_cluster_of(names.BBR_CLUSTER, host, *(worker_port(port, index) for index in range(workers)))


def key_set_cluster(uri: str, options: Options) -> Tree:
    """The server of a key set that verifies tokens."""
    scheme, host, port = names.server_of(uri)
    name = names.key_set_cluster(uri)
    wanted = BackendTls(host, names=() if _is_ip(host) else (host,))
    return names.resource(
        names.CLUSTER_TYPE,
        name=name,
        **({"type": "STATIC"} if _is_ip(host) else _RESOLVED),
        connect_timeout="2s",
        **http1({}),
        load_assignment=load_assignment(name, [(host, port)]),
        **({"transport_socket": tls(wanted, ("http/1.1",), options)} if scheme == "https" else {}),
    )


def collector_cluster(host: str, port: int) -> Tree:
    """Where traces go."""
    return service_cluster_of(names.COLLECTOR_CLUSTER, host, port)


def service_cluster_of(name: str, host: str, *at_ports: int) -> Tree:
    """A gRPC service of an operator's choice, at one port or several. Envoy resolves it when it is a name."""
    return names.resource(
        names.CLUSTER_TYPE,
        name=name,
        **({"type": "STATIC"} if _is_ip(host) else _RESOLVED),
        connect_timeout="0.5s",
        **grpc(RAISED_LIMIT, BBR_TIMEOUT_SECONDS),
        load_assignment=load_assignment(name, [(host, port) for port in at_ports]),
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


def pool_assignment(cluster: str, groups: Sequence[Group]) -> Tree:
    """The endpoints of a pool, which may be spoken to in ways of their own."""
    found = [outgoing.endpoint(member, group.connection) for group in groups for member in group.members]
    endpoints = [{"lb_endpoints": retries.counted(found, len(found))}]
    return names.resource(names.ENDPOINTS_TYPE, cluster_name=cluster, endpoints=endpoints)


def service_assignment(cluster: str, group: Group) -> Tree:
    """The endpoints of a plain Service."""
    found = [outgoing.endpoint(member, group.connection) for member in group.members]
    return names.resource(names.ENDPOINTS_TYPE, cluster_name=cluster, endpoints=[{"lb_endpoints": found}])


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
