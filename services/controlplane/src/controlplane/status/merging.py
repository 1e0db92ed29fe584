"""What several configurations say of the same objects becomes one status. Pure.

Each Gateway with Envoys of its own has a configuration of its own; a route, a pool or a policy may be part of several.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from controlplane.status.conditions import AIRouteStatus, PolicyStatus, PoolStatus, RouteStatus, Status
from gateway.kube.objects import ObjectName

TARGET_NOT_FOUND = "TargetNotFound"


class Named(Protocol):
    @property
    def id(self) -> ObjectName: ...


T = TypeVar("T", bound=Named)
P = TypeVar("P", RouteStatus, PoolStatus)


def merged(statuses: Sequence[Status]) -> Status:
    """One status of all. What is said once stays as it is."""
    if len(statuses) == 1:
        return statuses[0]
    return Status(
        classes=tuple(found[0] for found in _grouped(status.classes for status in statuses)),
        gateways=tuple(found[0] for found in _grouped(status.gateways for status in statuses)),
        routes=tuple(_joined(found) for found in _grouped(status.routes for status in statuses)),
        pools=tuple(_joined(found) for found in _grouped(status.pools for status in statuses)),
        policies=tuple(_policies(each for status in statuses for each in status.policies)),
        ai_routes=tuple(_ai_route(found) for found in _grouped(status.ai_routes for status in statuses)),
        ports=tuple(each for status in statuses for each in status.ports),
        warnings=tuple(dict.fromkeys(each for status in statuses for each in status.warnings)),
    )


def _grouped(lists: Iterable[Iterable[T]]) -> Sequence[Sequence[T]]:
    """By name; of each object there is one at least."""
    found: dict[ObjectName, list[T]] = {}
    for items in lists:
        for each in items:
            found.setdefault(each.id, []).append(each)
    return [found[name] for name in sorted(found)]


def _joined(found: Sequence[P]) -> P:
    """With the parents of all."""
    return replace(found[0], parents=tuple(parent for each in found for parent in each.parents))


def _policies(found: Iterable[PolicyStatus]) -> Iterable[PolicyStatus]:
    """The worst of what is said where its target is: one that is enforced at one Gateway alone is not enforced."""
    by_name: dict[tuple[str, ObjectName], PolicyStatus] = {}
    for each in found:
        key = (each.kind, each.id)
        by_name[key] = max(by_name.get(key, each), each, key=_weight)
    return (each for _, each in sorted(by_name.items(), key=lambda item: item[0]))


def _weight(found: PolicyStatus) -> int:
    if found.accepted.reason == TARGET_NOT_FOUND:
        return 0
    return 1 if found.accepted.is_true else 2


def _ai_route(found: Sequence[AIRouteStatus]) -> AIRouteStatus:
    refused = (each for each in found if not all(condition.is_good for condition in each.conditions))
    return next(refused, found[0])
