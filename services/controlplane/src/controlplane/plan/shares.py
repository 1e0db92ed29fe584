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
    """Those of every entry, each once, by name."""
    targets: _Targets = {item.pool.meta.id: item for item in pools}
    targets = {**targets, **{item.ref: item for item in services}}
    found = {
        backend.own: backend
        for entry in entries
        for backend in entry.backends
        if backend.own and not backend.is_refused
    }
    return tuple(_share(name, backend, targets) for name, backend in sorted(found.items()))


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
