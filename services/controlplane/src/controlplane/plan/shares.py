"""Backends that need a cluster of their own: with lower tiers behind them, or changes of the request. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.plan.connections import Connection, Group, Member, changed
from controlplane.plan.entries import Backend, Entry, ServicePortRef
from controlplane.plan.pools import PlannedPool
from controlplane.plan.services import PlannedService
from gateway.kube.objects import FailureMode, InferencePool, ObjectName

_Targets = Mapping[ObjectName | ServicePortRef, PlannedPool | PlannedService]

WEIGHTS: Final = 10_000  # what the groups of a tier share


@dataclass(frozen=True, slots=True)
class WeightedGroup:
    """Endpoints that get a part of a tier's requests."""

    group: Group
    weight: int


@dataclass(frozen=True, slots=True)
class PlannedShare:
    """The cluster of one backend of a rule: its own endpoints first, then those of each lower tier, or the listener
    through which its pool takes over. `failure_mode` is that of its pool; None where no picker is asked."""

    name: str
    tiers: tuple[tuple[WeightedGroup, ...], ...]
    failure_mode: FailureMode | None
    h2c: bool


def planned_shares(
    entries: Iterable[Entry], pools: Sequence[PlannedPool], services: Sequence[PlannedService]
) -> tuple[PlannedShare, ...]:
    """Those of every entry, each once, by name; of a pool that gets copies of requests one for those."""
    entries = tuple(entries)
    targets: _Targets = {item.pool.meta.id: item for item in pools}
    targets = {**targets, **{item.ref: item for item in services}}
    found = {
        backend.own: backend
        for entry in entries
        for backend in entry.backends
        if backend.own and not backend.is_refused
    }
    copied = {
        item.target.meta.id for entry in entries for item in entry.mirrors if isinstance(item.target, InferencePool)
    }
    return (
        *(_share(name, backend, targets) for name, backend in sorted(found.items())),
        *(_mirror(pool, targets) for pool in sorted(copied)),
    )


def mirror_name(pool: ObjectName) -> str:
    """The name of a pool's cluster for copies. No route is named so, for those of routes end in numbers."""
    return f"{pool.namespace}_{pool.name}_mirror"


def _mirror(pool: ObjectName, targets: _Targets) -> PlannedShare:
    """Copies go to any endpoint: no picker is asked about them."""
    target = targets[pool]
    assert isinstance(target, PlannedPool)
    tier = tuple(WeightedGroup(each, max(1, len(each.members))) for each in target.groups)
    return PlannedShare(mirror_name(pool), (tier,), None, target.pool.h2c)


def _share(name: str, backend: Backend, targets: _Targets) -> PlannedShare:
    primary = _target(backend, targets)
    return PlannedShare(
        name=name,
        tiers=(
            _weighted([(backend.weight, _groups(backend, targets))]),
            *(_weighted([(each.weight, _groups_behind(each, targets)) for each in tier]) for tier in backend.lower),
        ),
        failure_mode=primary.failure_mode if isinstance(primary, PlannedPool) else None,
        h2c=primary.pool.h2c if isinstance(primary, PlannedPool) else primary.h2c,
    )


def _groups(backend: Backend, targets: _Targets) -> tuple[Group, ...]:
    target = _target(backend, targets)
    groups = target.groups if isinstance(target, PlannedPool) else (target.group,)
    return tuple(changed(each, backend.changes) for each in groups)


def _groups_behind(backend: Backend, targets: _Targets) -> tuple[Group, ...]:
    """Those of a backend that takes over; of a pool with a picker and endpoints, the way to its picker."""
    target = _target(backend, targets)
    if not isinstance(target, PlannedPool) or target.picker is None or not target.endpoints:
        return _groups(backend, targets)
    way = Member("", 0, listener=backend.own)
    return (Group(Connection(str(target.pool.meta.id)), (way,)),)


def _weighted(parts: Sequence[tuple[int, tuple[Group, ...]]]) -> tuple[WeightedGroup, ...]:
    """The groups of backends that share a tier by weight, each with its part by its number of endpoints."""
    total = sum(weight for weight, _ in parts)
    found = []
    for weight, groups in parts:
        members = max(1, sum(len(each.members) for each in groups))
        found += [WeightedGroup(each, _part(weight * len(each.members), total * members)) for each in groups]
    return tuple(found)


def _part(weight: int, total: int) -> int:
    return max(1, round(WEIGHTS * weight / total)) if total else 1


def _target(backend: Backend, targets: _Targets) -> PlannedPool | PlannedService:
    target = backend.target
    assert target is not None
    return targets[target.meta.id if isinstance(target, InferencePool) else target]
