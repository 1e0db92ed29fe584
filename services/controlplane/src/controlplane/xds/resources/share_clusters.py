"""Clusters of single backends of a rule: with lower tiers behind them, or with changes of their requests. Pure.

Tiers are Envoy's priorities. A tier with one endpoint must be able to be out, so there is no panic and every endpoint
may be ejected. Probes, not clients' requests, find out that one is back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from controlplane.options import Options
from controlplane.plan.connections import Connection
from controlplane.plan.shares import PlannedShare, WeightedGroup
from controlplane.xds.resources import names, outgoing, retries, traffic
from controlplane.xds.resources.balancing import NEVER, by_weight, override_host
from controlplane.xds.resources.clusters import by_eds, speaking
from controlplane.xds.resources.names import Tree
from controlplane.xds.resources.upstream import CODEC
from gateway.kube.objects import FailureMode

# Any answer but a server's error shows that a server works, also that of one which has no such path or wants a key.
HEALTH_PATH: Final = "/health"
_PROBES: Final[Tree] = {
    "timeout": "1s",
    "interval": "2s",
    "unhealthy_interval": "1s",
    "no_traffic_interval": "1s",
    "no_traffic_healthy_interval": "10s",  # a provider is not asked every two seconds for nothing
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
    "http_health_check": {"path": HEALTH_PATH, "expected_statuses": [{"start": 200, "end": 500}]},
}
_EJECTION: Final[Tree] = traffic.EJECTION | {
    "max_ejection_percent": 100,
    "always_eject_one_host": True,
    "max_ejection_time": "10s",  # as the first time, however often: it is not to be forgotten for minutes
    "successful_active_health_check_uneject_host": False,  # /health may answer where requests fail
}


def share_cluster(planned: PlannedShare, options: Options) -> Tree:
    """The cluster of one backend."""
    policy: object = by_weight()
    mode, has_lower = planned.failure_mode, len(planned.tiers) > 1
    metadata: Tree = {}
    if mode is not None:
        # With a lower tier, a request without a pick goes there instead of being refused.
        policy = override_host(NEVER if mode is FailureMode.CLOSE and not has_lower else policy)
        metadata = {"failure_mode": mode.value}
    return names.resource(
        names.CLUSTER_TYPE,
        **by_eds(names.share_cluster(planned.name), options),
        load_balancing_policy={"policies": [policy]},
        **({"metadata": {"filter_metadata": {names.CLUSTER_METADATA: metadata}}} if metadata else {}),
        **({"health_checks": [_PROBES]} if has_lower else {}),
        **speaking(
            list(_connections(planned)),
            options,
            h2c=planned.h2c,
            further=_filters(planned),
        ),
        **traffic.serving(ejection=_EJECTION if has_lower else traffic.EJECTION),
    )


def _filters(planned: PlannedShare) -> Sequence[Tree]:
    """HTTP filters of the cluster that judge answers."""
    if len(planned.tiers) == 1:
        return retries.upstream_filters(planned.failure_mode)
    return (retries.overflow_filter(), CODEC)


def share_assignment(planned: PlannedShare) -> Tree:
    """Its endpoints, tier by tier."""
    prefers_lower = planned.failure_mode is not None and len(planned.tiers) > 1
    return names.resource(
        names.ENDPOINTS_TYPE,
        cluster_name=names.share_cluster(planned.name),
        endpoints=[
            _locality(index, place, found, _endpoints(planned, index, place, is_degraded=prefers_lower and index == 0))
            for index, tier in enumerate(planned.tiers)
            for place, found in enumerate(tier)
        ],
    )


def _endpoints(planned: PlannedShare, tier: int, place: int, *, is_degraded: bool) -> list[Tree]:
    """Those of one group. Degraded ones get what a picker picks, and nothing else while another tier has any."""
    groups = planned.tiers[tier]
    connection = _named(tier, place, groups[place])
    endpoints = [outgoing.endpoint(member, connection) for member in groups[place].group.members]
    if is_degraded:
        return [{**each, "health_status": "DEGRADED"} for each in endpoints]
    return retries.counted(endpoints, sum(len(each.group.members) for each in groups))


def _locality(tier: int, place: int, found: WeightedGroup, endpoints: list[Tree]) -> Tree:
    """One group."""
    return {
        "locality": {"zone": f"{tier}", "sub_zone": f"{place}"},
        "priority": tier,
        "load_balancing_weight": found.weight,
        "lb_endpoints": endpoints,
    }


def _connections(planned: PlannedShare) -> Iterator[Connection]:
    for index, tier in enumerate(planned.tiers):
        for place, found in enumerate(tier):
            yield _named(index, place, found)


def _named(tier: int, place: int, found: WeightedGroup) -> Connection:
    """The connection of a group under a name that no other group of the cluster has."""
    return replace(found.group.connection, name=f"{tier}/{place}/{found.group.connection.name}")
