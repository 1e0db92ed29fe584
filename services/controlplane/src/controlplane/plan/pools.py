"""Every pool with its picker and its endpoints, and the Gateways through which it is reached. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.options import Options
from controlplane.plan.backends import Backends
from controlplane.plan.connections import Group, pool_groups
from controlplane.plan.entries import Attachment
from controlplane.plan.pickers import Picker, goes_in_turn, picker
from controlplane.status.conditions import Condition
from gateway.kube.objects import FailureMode, InferencePool, Manifests, ObjectName
from gateway.kube.resolution.endpoints import Addresses, HostPort, pool_endpoints, pool_slices, slice_hostnames
from gateway.wire import protocol


@dataclass(frozen=True, slots=True)
class PlannedPool:
    """A pool as it is served. `fault` is why a picker that it names is not asked, `unreached` why some endpoints are
    not reached. `hostnames` are those of its endpoints that are names; they may resolve to nothing. `simulated` of the
    endpoints stand in for real ones."""

    pool: InferencePool
    groups: tuple[Group, ...]
    picker: Picker | None = None
    fault: Condition | None = None
    unreached: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    limits_first_token: bool = False  # a route or an objective says when streamed answers must have begun
    simulated: int = 0

    @property
    def endpoints(self) -> tuple[HostPort, ...]:
        """All that requests may go to."""
        return tuple(HostPort(member.address, member.port) for group in self.groups for member in group.members)

    @property
    def is_plain(self) -> bool:
        """Whether its servers get requests as they are, in HTTP/1.1 without TLS."""
        return not self.pool.h2c and all(group.connection.is_plain for group in self.groups)

    @property
    def goes_in_turn(self) -> bool:
        """Whether Envoy takes its endpoints one after the other."""
        return goes_in_turn(self.pool)

    @property
    def failure_mode(self) -> FailureMode | None:
        """What happens without a pick; None for a pool that Envoy balances."""
        if self.goes_in_turn:
            return None
        if self.pool.picker is not None:
            return self.pool.picker.failure_mode
        return FailureMode.OPEN if self.picker is not None else None


def planned_pools(manifests: Manifests, addresses: Addresses, options: Options) -> tuple[PlannedPool, ...]:
    """All pools by namespace and name, whether a route leads to them or not."""
    limited = _first_token_limits(manifests)
    planned = (_planned(pool, manifests, addresses, options) for _, pool in sorted(manifests.pools.items()))
    return tuple(
        replace(item, limits_first_token=item.picker is not None and (limited is None or item.pool.meta.id in limited))
        for item in planned
    )


def _planned(pool: InferencePool, manifests: Manifests, addresses: Addresses, options: Options) -> PlannedPool:
    endpoints = pool_endpoints(pool, manifests, addresses)
    groups, unreached = pool_groups(pool, endpoints, manifests)
    names = slice_hostnames(pool_slices(pool, manifests))
    simulated = sum(protocol.SIMULATED_LABEL in endpoint.labels for endpoint in endpoints)
    planned = PlannedPool(pool, groups, unreached=unreached, hostnames=names, simulated=simulated)
    found = picker(pool, manifests, addresses, options)
    return replace(planned, fault=found) if isinstance(found, Condition) else replace(planned, picker=found)


def _first_token_limits(manifests: Manifests) -> frozenset[ObjectName] | None:
    """Pools for which an objective limits the time of a first token; None for all, where a route does, whatever it
    leads to."""
    if any(route.meta.first_token for route in manifests.routes.values()):
        return None
    return frozenset(each.pool for each in manifests.objectives.values() if each.meta.first_token)


def parents(attachments: Sequence[Attachment], backends: Backends) -> Mapping[ObjectName, tuple[ObjectName, ...]]:
    """The Gateways through which each pool is reached."""
    found: dict[ObjectName, set[ObjectName]] = {}
    for attachment in attachments:
        for index in range(len(attachment.route.rules)):
            for backend in backends[attachment.route.meta.id, index]:
                if isinstance(backend.target, InferencePool):
                    found.setdefault(backend.target.meta.id, set()).add(attachment.gateway.meta.id)
    return {pool: tuple(sorted(gateways)) for pool, gateways in found.items()}
