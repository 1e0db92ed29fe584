"""Follows the journal: what it keeps of each pool, then what comes, goes to the picker. A shell; it knows the loop.

One task for each pool. A gap in what comes is closed by what is kept. Once each pool that was known at the start has
been caught up with, or five seconds are over, the replica is warm.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from epp.domain import PoolId, SharedEvent
from epp.sharing.journal import Journal, Snapshot
from epp.sharing.metrics import SharingMetrics
from gateway.service import logs

log = logs.get(__name__)

WARM_SECONDS: Final = 5.0
# New pools are followed within this time.
LOOK_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 0.5
# Events folded in one turn of the loop: a few milliseconds.
CHUNK: Final = 200

Apply = Callable[[Sequence[SharedEvent]], None]


class Follower:
    """`pools` are those that the picker has now; `parts` are followed, too."""

    def __init__(
        self,
        journal: Journal,
        apply: Apply,
        pools: Callable[[], Iterable[PoolId]],
        metrics: SharingMetrics,
        parts: Sequence[PoolId] = (),
    ) -> None:
        self._journal = journal
        self._apply = apply
        self._pools = pools
        self._metrics = metrics
        self._parts = tuple(parts)
        self._followed: dict[PoolId, asyncio.Task[None]] = {}
        self._lacking: dict[PoolId, str] = {}
        self._caught_up = asyncio.Event()
        self.is_warm = False

    @property
    def lacking(self) -> Mapping[PoolId, str]:
        """Pools of which the past is not known, and why."""
        return self._lacking

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._journal.run())
            group.create_task(self._warm_up())
            while True:
                self._look(group)
                await asyncio.sleep(LOOK_SECONDS)

    def _look(self, group: asyncio.TaskGroup) -> None:
        wanted = {*self._parts, *self._pools()}
        for pool in wanted - self._followed.keys():
            self._lacking[pool] = "not read yet"
            self._followed[pool] = group.create_task(self._follow(pool))
        for pool in self._followed.keys() - wanted:
            self._followed.pop(pool).cancel()
            self._lacking.pop(pool, None)

    async def _warm_up(self) -> None:
        try:
            await asyncio.wait_for(self._caught_up.wait(), WARM_SECONDS)
        except TimeoutError:
            log.warning("ready without all that other replicas know", lacks=self._lacking or "any pool")
        else:
            log.info("ready with what other replicas know", pools=len(self._followed))
        self.is_warm = True

    async def _follow(self, pool: PoolId) -> None:
        found = await self._catch_up(pool)
        async for batch in self._journal.subscribe(pool, found.position):
            if batch.has_gap:
                await self._fold((await self._journal.snapshot(pool)).events)
            await self._fold(batch.events)
            if batch.lag_seconds is not None:
                self._metrics.lagged("read", max(0.0, batch.lag_seconds))

    async def _catch_up(self, pool: PoolId) -> Snapshot:
        while True:
            found = await self._journal.snapshot(pool)
            await self._fold(found.events)
            if not found.lacks:
                self._lacking.pop(pool, None)
                if not self._lacking and self._followed.keys() > set(self._parts):
                    self._caught_up.set()
                return found
            self._lacking[pool] = found.lacks
            await asyncio.sleep(RETRY_SECONDS)

    async def _fold(self, events: Sequence[SharedEvent]) -> None:
        for at in range(0, len(events), CHUNK):
            self._apply(events[at : at + CHUNK])
            if len(events) > CHUNK:
                await asyncio.sleep(0)
