"""Objects become `PoolSpec` values: which pools there are, and which endpoints belong to them. Pure.

A pool is put together anew only if something that it is made of has changed: its own object, a slice or Pod that its
selector matches, an address behind a name, an objective, rewrite or model that refers to it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, TypeVar

from epp.domain import Endpoint, EndpointId, PoolId, PoolSpec, RewriteRule, RewriteTarget
from gateway.kube.objects import (
    AddressType,
    Criticality,
    EndpointSlice,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    InferencePool,
    Manifests,
    ModelTarget,
    ObjectName,
    Pod,
)
from gateway.kube.resolution.endpoints import Addresses, pool_endpoints, pool_pods, pool_slices

Pools = Mapping[PoolId, PoolSpec]

# The reference's own translation of the legacy kind: critical first, sheddable below zero.
CRITICALITY_PRIORITY = MappingProxyType({Criticality.CRITICAL: 2, Criticality.STANDARD: 1, Criticality.SHEDDABLE: -1})


class PriorityOrder(StrEnum):
    """Which priority of objectives is the more important one. The API says the higher."""

    HIGHER_FIRST = "higher-first"
    LOWER_FIRST = "lower-first"


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that one pool is made of."""

    pool: InferencePool
    slices: tuple[EndpointSlice, ...]
    pods: tuple[Pod, ...]
    addresses: tuple[tuple[str, tuple[str, ...]], ...]  # those behind names in the slices
    objectives: tuple[InferenceObjective, ...]
    rewrites: tuple[InferenceModelRewrite, ...]
    models: tuple[InferenceModel, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Pools, and what each was made of; `following` makes the next from it."""

    pools: Pools = field(default_factory=dict)
    parts: Mapping[PoolId, Parts] = field(default_factory=dict)
    order: PriorityOrder = PriorityOrder.HIGHER_FIRST

    def following(self, manifests: Manifests, addresses: Addresses) -> "Resolved":
        """The pools of a newer snapshot. One whose parts are the same stays the same value."""
        pools: dict[PoolId, PoolSpec] = {}
        parts = _parts(manifests, addresses)
        for id_, now in parts.items():
            is_same = self.parts.get(id_) == now
            pools[id_] = self.pools[id_] if is_same else _spec(id_, now, manifests, addresses, self.order)
        return Resolved(MappingProxyType(pools), MappingProxyType(parts), self.order)


def pool_specs(manifests: Manifests, addresses: Addresses, order: PriorityOrder = PriorityOrder.HIGHER_FIRST) -> Pools:
    """Every pool, endpoints resolved."""
    return Resolved(order=order).following(manifests, addresses).pools


def _parts(manifests: Manifests, addresses: Addresses) -> dict[PoolId, Parts]:
    objectives, rewrites = _by_pool(manifests.objectives.values()), _by_pool(manifests.rewrites.values())
    models = _by_pool(manifests.models.values())
    found = {}
    for name, pool in sorted(manifests.pools.items()):
        slices = pool_slices(pool, manifests)
        names = {
            written: None
            for piece in slices
            if piece.address_type is AddressType.FQDN
            for endpoint in piece.endpoints
            for written in endpoint.addresses
        }
        found[PoolId(str(name))] = Parts(
            pool=pool,
            slices=slices,
            pods=pool_pods(pool, manifests),
            addresses=tuple((written, tuple(addresses.get(written, ()))) for written in names),
            objectives=objectives.get(name, ()),
            rewrites=rewrites.get(name, ()),
            models=models.get(name, ()),
        )
    return found


class _ForPool(Protocol):
    @property
    def pool(self) -> ObjectName: ...


T = TypeVar("T", bound=_ForPool)


def _by_pool(objects: Iterable[T]) -> Mapping[ObjectName, tuple[T, ...]]:
    found: dict[ObjectName, tuple[T, ...]] = {}
    for each in objects:
        found[each.pool] = (*found.get(each.pool, ()), each)
    return found


def _spec(id_: PoolId, parts: Parts, manifests: Manifests, addresses: Addresses, order: PriorityOrder) -> PoolSpec:
    return PoolSpec(
        id=id_,
        endpoints=tuple(
            Endpoint(EndpointId(str(found)), found.address, found.port, found.name, found.labels)
            for found in pool_endpoints(parts.pool, manifests, addresses)
        ),
        priorities=_priorities(parts.objectives, order),
        rewrites=tuple(rule for _, rule in sorted(_rewrites(parts), key=lambda item: item[0])),
        model_priorities={
            model.model_name: CRITICALITY_PRIORITY[model.criticality]
            for model in parts.models
            if model.criticality is not None
        },
        turned=None if order is PriorityOrder.HIGHER_FIRST else _turned(parts.objectives),
        first_tokens={each.meta.id.name: each.meta.first_token for each in parts.objectives if each.meta.first_token},
    )


def _priorities(objectives: Sequence[InferenceObjective], order: PriorityOrder) -> Mapping[str, int]:
    """By name, the higher the more important."""
    written = {objective.meta.id.name: objective.priority for objective in objectives}
    if order is PriorityOrder.HIGHER_FIRST:
        return written
    kept, shed = _turned(objectives)
    return {name: (kept if priority >= 0 else shed) - priority for name, priority in written.items()}


def _turned(objectives: Sequence[InferenceObjective]) -> tuple[int, int]:
    """What priorities are taken from, so that the highest is in the place of the lowest: of those that are kept, and of
    those that may be shed, which stay below 0."""
    written = [objective.priority for objective in objectives]
    ends = ([each for each in written if each >= 0], [each for each in written if each < 0])
    kept, shed = (min(each, default=0) + max(each, default=0) for each in ends)
    return kept, shed


_Precedence = tuple[bool, str, ObjectName, int]


def _rewrites(parts: Parts) -> Iterator[tuple[_Precedence, RewriteRule]]:
    """Exact rules before generic ones, then older objects, then names, then the order written."""
    for rewrite in parts.rewrites:
        for index, rule in enumerate(rewrite.rules):
            models = frozenset(rule.models)
            order = (not models, rewrite.meta.created, rewrite.meta.id, index)
            yield order, RewriteRule(models, _targets(rule.targets), rewrite.meta.id.name)
    for model in parts.models:
        if model.targets:
            order = (False, model.meta.created, model.meta.id, 0)
            yield order, RewriteRule(frozenset((model.model_name,)), _targets(model.targets), model.meta.id.name)


def _targets(targets: Sequence[ModelTarget]) -> tuple[RewriteTarget, ...]:
    """Weights that are all unset or zero mean an even choice."""
    if not any(target.weight for target in targets):
        return tuple(RewriteTarget(target.model, 1) for target in targets)
    return tuple(RewriteTarget(target.model, target.weight or 0) for target in targets)
