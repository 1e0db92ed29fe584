"""Backends that need a cluster of their own: with lower tiers behind them, or changes of the request. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.plan.connections import Group, changed
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
    """The cluster of one backend of a rule: its own endpoints first, then those of each lower tier. `failure_mode` is
    that of its pool; None where no picker is asked."""

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
        tiers=tuple(_tier(tier, targets) for tier in ((backend,), *backend.lower)),
        failure_mode=primary.failure_mode if isinstance(primary, PlannedPool) else None,
        h2c=primary.pool.h2c if isinstance(primary, PlannedPool) else primary.h2c,
    )


def _tier(backends: Sequence[Backend], targets: _Targets) -> tuple[WeightedGroup, ...]:
    total = sum(backend.weight for backend in backends)
    found = []
    for backend in backends:
        target = _target(backend, targets)
        groups = target.groups if isinstance(target, PlannedPool) else (target.group,)
        members = sum(len(each.members) for each in groups)
        found += [
            WeightedGroup(
                changed(each, backend.changes), _part(backend.weight * len(each.members), total * max(members, 1))
            )
            for each in groups
        ]
    return tuple(found)


def _part(weight: int, total: int) -> int:
    return max(1, round(WEIGHTS * weight / total)) if total else 1


def _target(backend: Backend, targets: _Targets) -> PlannedPool | PlannedService:
    target = backend.target
    assert target is not None
    return targets[target.meta.id if isinstance(target, InferencePool) else target]
