"""Follows the journal: what it keeps of each pool, then what comes, goes to the picker. A shell; it knows the loop.

One task for each pool. A gap in what comes is closed by a snapshot, beside what goes on coming. Once each pool that was
known at the start has been caught up with, or five seconds are over, the replica is warm.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from epp.domain import PoolId, PrefixesHeld, SharedEvent
from epp.sharing.journal import Journal, Snapshot
from epp.sharing.metrics import SharingMetrics
from gateway.service import logs

log = logs.get(__name__)

WARM_SECONDS: Final = 5.0
# New pools are followed within this time.
LOOK_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 0.5
# Events folded in one turn of the loop, and parts of prefixes in them: a few milliseconds.
CHUNK: Final = 200
PARTS: Final = 512
# Offers that wait to be read: more are of replicas that make them again.
OFFERS_LIMIT: Final = 16

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
        self._gaps: dict[PoolId, dict[str, None]] = {}  # the offers that close them, empty ones among them
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
        async with asyncio.TaskGroup() as group:
            async for batch in self._journal.subscribe(pool, found.position):
                if batch.has_gap:
                    self._note_gap(group, pool, batch.offer)
                await self._fold(batch.events)
                if batch.lag_seconds is not None:
                    self._metrics.lagged("read", max(0.0, batch.lag_seconds))

    def _note_gap(self, group: asyncio.TaskGroup, pool: PoolId, offer: str) -> None:
        is_closing = pool in self._gaps
        offers = self._gaps.setdefault(pool, {})
        if len(offers) < OFFERS_LIMIT:
            offers[offer] = None
        if not is_closing:
            group.create_task(self._close_gaps(pool))

    async def _close_gaps(self, pool: PoolId) -> None:
        try:
            while offers := self._gaps[pool]:
                offer = next(iter(offers))
                found = await self._journal.snapshot(pool, offer)
                await self._fold(found.events)
                if found.lacks:
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    offers.pop(offer, None)
        finally:
            del self._gaps[pool]

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
        for chunk in _chunks(events):
            self._apply(chunk)
            if len(chunk) < len(events):
                await asyncio.sleep(0)


def _chunks(events: Sequence[SharedEvent]) -> Iterator[Sequence[SharedEvent]]:
    """All events, in pieces that are folded in one turn."""
    start = parts = 0
    for at, event in enumerate(events):
        parts += len(event.parts) if isinstance(event, PrefixesHeld) else 0
        if at - start >= CHUNK or parts > PARTS:
            yield events[start:at]
            start, parts = at, len(event.parts) if isinstance(event, PrefixesHeld) else 0
    if start < len(events):
        yield events[start:]
