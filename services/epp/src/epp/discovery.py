"""Which pools there are and which endpoints belong to them: manifests become `PoolSpec` values.

`pool_specs` is pure. `follow` is its shell: it takes every good change of the manifests and of the addresses behind
their names to the picker; with a bad manifest the last good pools stay.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from epp.domain import Endpoint, EndpointId, PoolId, PoolSpec, RewriteRule, RewriteTarget
from gateway.kube.adapters import base_models
from gateway.kube.endpoints import pool_endpoints
from gateway.kube.objects import Criticality, InferencePool, Manifests, ModelTarget, ObjectName
from gateway.kube.sources.snapshots import snapshots
from gateway.schema.documents import Problem
from gateway.service import logs

log = logs.get(__name__)

Addresses = Mapping[str, tuple[str, ...]]
Pools = Mapping[PoolId, PoolSpec]

# The reference's own translation of the legacy kind: critical first, sheddable below zero.
CRITICALITY_PRIORITY = {Criticality.CRITICAL: 2, Criticality.STANDARD: 1, Criticality.SHEDDABLE: -1}


def pool_specs(manifests: Manifests, addresses: Addresses) -> Pools:
    """Every pool, endpoints resolved."""
    specs = (_spec(pool, manifests, addresses) for _, pool in sorted(manifests.pools.items()))
    return {spec.id: spec for spec in specs}


def _spec(pool: InferencePool, manifests: Manifests, addresses: Addresses) -> PoolSpec:
    name = pool.meta.id
    return PoolSpec(
        id=PoolId(str(name)),
        endpoints=tuple(
            Endpoint(EndpointId(str(found)), found.address, found.port, found.name, found.labels)
            for found in pool_endpoints(pool, manifests, addresses)
        ),
        priorities={
            objective.meta.id.name: objective.priority
            for objective in manifests.objectives.values()
            if objective.pool == name
        },
        rewrites=tuple(rule for _, rule in sorted(_rewrites(name, manifests), key=lambda item: item[0])),
        model_priorities={
            model.model_name: CRITICALITY_PRIORITY[model.criticality]
            for model in manifests.models.values()
            if model.pool == name and model.criticality is not None
        },
    )


_Precedence = tuple[bool, str, ObjectName, int]


def _rewrites(pool: ObjectName, manifests: Manifests) -> Iterator[tuple[_Precedence, RewriteRule]]:
    """Exact rules before generic ones, then older objects, then names, then the order written."""
    for rewrite in manifests.rewrites.values():
        if rewrite.pool == pool:
            for index, rule in enumerate(rewrite.rules):
                models = frozenset(rule.models)
                order = (not models, rewrite.meta.created, rewrite.meta.id, index)
                yield order, RewriteRule(models, _targets(rule.targets))
    for model in manifests.models.values():
        if model.pool == pool and model.targets:
            order = (False, model.meta.created, model.meta.id, 0)
            yield order, RewriteRule(frozenset((model.model_name,)), _targets(model.targets))


def _targets(targets: Sequence[ModelTarget]) -> tuple[RewriteTarget, ...]:
    """Weights that are all unset or zero mean an even choice."""
    if not any(target.weight for target in targets):
        return tuple(RewriteTarget(target.model, 1) for target in targets)
    return tuple(RewriteTarget(target.model, target.weight or 0) for target in targets)


class Discovery:
    """Follows the manifests; `pools` is the last good state, None before the first."""

    def __init__(self, dirs: Sequence[Path], replace: Callable[[Pools], None]) -> None:
        self._dirs = tuple(dirs)
        self._replace = replace
        self._reported: tuple[Problem, ...] = ()
        self.pools: Pools | None = None
        self.base_models: Mapping[str, str] = {}  # for a door that also does the body-based router's work

    async def follow(self) -> None:
        """Run until cancelled."""
        if not self._dirs:
            await asyncio.Event().wait()
        async for snapshot in snapshots(self._dirs):
            self._report(snapshot.problems)
            if snapshot.problems and self.pools is None:
                continue
            self.base_models = base_models(snapshot.manifests).names
            specs = pool_specs(snapshot.manifests, snapshot.addresses)
            if specs != self.pools:
                self._describe(specs)
                self._replace(specs)
            self.pools = specs

    def _report(self, problems: tuple[Problem, ...]) -> None:
        if problems != self._reported:
            for problem in problems:
                log.error("a manifest is wrong; the last good ones stay", place=str(problem))
        self._reported = problems

    def _describe(self, specs: Pools) -> None:
        before = self.pools or {}
        for pool, spec in specs.items():
            known = {endpoint.id for endpoint in before[pool].endpoints} if pool in before else set()
            now = {endpoint.id for endpoint in spec.endpoints}
            if pool not in before or now != known:
                joined, left = sorted(now - known), sorted(known - now)
                log.info("endpoints changed", pool=pool, endpoints=len(now), joined=joined[:8], left=left[:8])
        for pool in before.keys() - specs.keys():
            log.info("pool removed", pool=pool)
