"""Follows a source of objects and hands every good change of the pools to the picker and the scraper.

Shell. Pools are derived in a worker thread, since thousands of slices take longer than a loop may be held. While a
manifest is wrong, its object stays as it was.
"""

import asyncio
from collections.abc import Callable, Mapping

from epp.discovery.specs import Pools, PriorityOrder, Resolved
from gateway.kube.resolution.base_models import base_models
from gateway.kube.resolution.quotas import quota_rules
from gateway.kube.resolution.tenants import tenants
from gateway.kube.sources.source import Snapshot, Source
from gateway.quotas.rules import Rule, RuleSet
from gateway.schema.problems import Problem
from gateway.service import logs
from gateway.tenancy.tenants import Tenants

log = logs.get(__name__)


class Discovery:
    """`pools` is the last good state, None before the first; `had_pools` whether there ever were any."""

    def __init__(
        self,
        replace: Callable[[Pools], None],
        order: PriorityOrder = PriorityOrder.HIGHER_FIRST,
        *,
        replace_quotas: Callable[[RuleSet], None] | None = None,
    ) -> None:
        self._replace = replace
        self._replace_quotas = replace_quotas
        self._quotas: tuple[Rule, ...] = ()
        self._reported: tuple[Problem, ...] = ()
        self._resolved = Resolved(order=order)
        self.pools: Pools | None = None
        self.had_pools = False
        self.base_models: Mapping[str, str] = {}  # for a transport that also does the body-based router's work
        self.tenants: Tenants | None = None  # for a fused router; not read yet

    async def follow(self, source: Source | None) -> None:
        """Run until cancelled. Without a source there is nothing to follow."""
        if source is None:
            self.tenants = Tenants()
            await asyncio.Event().wait()
            return
        async for snapshot in source.snapshots():
            self._report(snapshot.problems)
            if snapshot.is_usable:
                await self._take(snapshot)

    async def _take(self, snapshot: Snapshot) -> None:
        manifests, addresses = snapshot.manifests, snapshot.addresses
        self._resolved = await asyncio.to_thread(self._resolved.following, manifests, addresses)
        self.base_models = (await asyncio.to_thread(base_models, manifests)).names
        rules = await asyncio.to_thread(quota_rules, manifests)
        if rules != self._quotas and self._replace_quotas is not None:
            self._quotas = rules
            self._replace_quotas(await asyncio.to_thread(RuleSet, rules))
            log.info("quotas changed", rules=len(rules))
        self.tenants = await asyncio.to_thread(tenants, manifests)
        before, self.pools = self.pools, self._resolved.pools
        self.had_pools |= bool(self.pools)
        if before is None or self.pools != before:
            self._describe(before or {}, self.pools)
            self._replace(self.pools)

    def _report(self, problems: tuple[Problem, ...]) -> None:
        if problems != self._reported:
            for problem in problems:
                log.error("a manifest is wrong; its object stays as it was", place=str(problem))
        self._reported = problems

    def _describe(self, before: Pools, pools: Pools) -> None:
        for pool, spec in pools.items():
            if before.get(pool) is spec:
                continue
            known = {endpoint.id for endpoint in before[pool].endpoints} if pool in before else set()
            now = {endpoint.id for endpoint in spec.endpoints}
            if pool not in before or now != known:
                joined, left = sorted(now - known), sorted(known - now)
                log.info("endpoints changed", pool=pool, endpoints=len(now), joined=joined[:8], left=left[:8])
        for pool in before.keys() - pools.keys():
            log.info("pool removed", pool=pool)
