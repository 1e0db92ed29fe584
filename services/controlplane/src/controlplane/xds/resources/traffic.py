"""Limits, ejection and balancing of a cluster as a DestinationRule orders them, else this project's own. Pure."""

from typing import Final

from controlplane.xds.resources.balancing import LEAST_REQUEST
from controlplane.xds.resources.names import Tree, seconds, typed
from controlplane.xds.resources.upstream import NO_PANIC, RAISED_LIMIT
from gateway.kube.objects import Balancer, ConsistentHash, Ejection, HashedBy, TrafficPolicy

USUAL: Final = TrafficPolicy()
CONNECT_TIMEOUT: Final = 1.0  # seconds
# A retry counts until its answer ends, which may be minutes. So as many may be open as there are requests: a server
# that dies costs each of its requests one retry, however many it had. At the moment of a retry its request is not among
# the active ones that a share would be taken of: when all fail at once, a share of them is nothing.
RETRY_BUDGET: Final[Tree] = {"budget_percent": {"value": 100.0}, "min_retry_concurrency": RAISED_LIMIT}
EJECTION: Final[Tree] = {
    "consecutive_5xx": 0,
    "consecutive_gateway_failure": 5,
    "enforcing_consecutive_gateway_failure": 100,
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    "interval": "2s",
    "base_ejection_time": "10s",
    "max_ejection_percent": 50,
}
_BALANCERS: Final = {Balancer.ROUND_ROBIN: "round_robin.v3.RoundRobin", Balancer.RANDOM: "random.v3.Random"}


def serving(policy: TrafficPolicy = USUAL, ejection: Tree = EJECTION) -> Tree:
    """What every cluster of model servers or plain Services has."""
    return {
        "connect_timeout": seconds(policy.connect_timeout or CONNECT_TIMEOUT),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": policy.max_connections or RAISED_LIMIT,
                    "max_pending_requests": policy.max_pending or RAISED_LIMIT,
                    "max_requests": policy.max_requests or RAISED_LIMIT,
                    "retry_budget": RETRY_BUDGET,
                }
            ]
        },
        "outlier_detection": ejection if policy.ejection is None else _ejection(policy.ejection),
        "common_lb_config": NO_PANIC,
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 10}
        },
    }


def _ejection(wanted: Ejection) -> Tree:
    """As Istio has it: what is not written has Istio's default."""
    errors, gateway = wanted.consecutive_5xx, wanted.consecutive_gateway_errors
    return {
        "consecutive_5xx": 5 if errors is None else errors,
        "enforcing_consecutive_5xx": 0 if errors == 0 else 100,
        "consecutive_gateway_failure": gateway or 0,
        "enforcing_consecutive_gateway_failure": 100 if gateway else 0,
        "interval": seconds(wanted.interval or 10.0),
        "base_ejection_time": seconds(wanted.base_time or 30.0),
        "max_ejection_percent": 10 if wanted.max_percent is None else wanted.max_percent,
    }


def balancing(balancer: Balancer | ConsistentHash | None) -> Tree:
    """The policy that chooses among endpoints."""
    if isinstance(balancer, ConsistentHash):
        return _hashing(balancer)
    written = _BALANCERS.get(balancer) if balancer is not None else None
    if written is None:
        return LEAST_REQUEST
    kind = written.partition(".")[0]
    return {
        "typed_extension_config": {
            "name": f"envoy.load_balancing_policies.{kind}",
            "typed_config": typed(f"envoy.extensions.load_balancing_policies.{written}"),
        }
    }


def _hashing(wanted: ConsistentHash) -> Tree:
    """A ring or a table with its hash policy, so that no route depends on it."""
    common: Tree = {"hash_policy": [_hash_policy(wanted)]}
    if wanted.table_size:
        kind, size = "maglev.v3.Maglev", {"table_size": wanted.table_size}
    else:
        kind, size = "ring_hash.v3.RingHash", {"minimum_ring_size": wanted.least_ring_size}
    return {
        "typed_extension_config": {
            "name": f"envoy.load_balancing_policies.{kind.partition('.')[0]}",
            "typed_config": typed(
                f"envoy.extensions.load_balancing_policies.{kind}", consistent_hashing_lb_config=common, **size
            ),
        }
    }


def _hash_policy(wanted: ConsistentHash) -> Tree:
    match wanted.by:
        case HashedBy.HEADER:
            return {"header": {"header_name": wanted.name}}
        case HashedBy.QUERY_PARAMETER:
            return {"query_parameter": {"name": wanted.name}}
        case HashedBy.SOURCE_IP:
            return {"connection_properties": {"source_ip": True}}
        case HashedBy.COOKIE:
            cookie: Tree = {"name": wanted.name}
            if wanted.cookie_path:
                cookie["path"] = wanted.cookie_path
            if wanted.cookie_lifetime is not None:
                cookie["ttl"] = seconds(wanted.cookie_lifetime)
            return {"cookie": cookie}
