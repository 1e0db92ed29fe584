"""Backends by priority: the first tier that has any gets the requests, others those that it could not serve. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from controlplane.plan.entries import Backend
from gateway.kube.objects import NO_CHANGES, BackendRef


def tiered(place: str, refs: Sequence[BackendRef], backends: Sequence[Backend]) -> tuple[Backend, ...]:
    """The backends of a rule, in the order written. Where it has several tiers, a backend of the first falls back to
    its fellows and then to the lower ones; those get no share of their own. `place` names the rule."""
    by_priority: dict[int, list[int]] = {}
    for index, (ref, backend) in enumerate(zip(refs, backends, strict=True)):
        if backend.weight > 0 and not backend.is_refused:
            by_priority.setdefault(ref.priority, []).append(index)
    if len({ref.priority for ref in refs}) < 2 or not by_priority:
        return tuple(_with_changes(f"{place}_{index}", backend) for index, backend in enumerate(backends))
    first, *lower = (tuple(indexes) for _, indexes in sorted(by_priority.items()))
    last = max(by_priority)
    behind = tuple(
        replace(backend, own=f"{place}_{index}", is_followed=refs[index].priority < last)
        for index, backend in enumerate(backends)
    )
    found = []
    for index, backend in enumerate(backends):
        if index not in first:
            found.append(replace(backend, weight=0))
            continue
        tiers = (tuple(other for other in first if other != index), *lower)
        found.append(
            replace(
                backend,
                own=f"{place}_{index}",
                lower=tuple(tuple(behind[other] for other in tier) for tier in tiers if tier),
            )
        )
    return tuple(found)


def _with_changes(own: str, backend: Backend) -> Backend:
    return backend if backend.changes == NO_CHANGES else replace(backend, own=own)
