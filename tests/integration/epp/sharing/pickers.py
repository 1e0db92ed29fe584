"""Whole pickers that share over a real Redis: each with its journal and its follower, in one loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from epp.domain import SharedEvent
from epp.sharing.follower import Follower
from epp.sharing.journal import Knowledge
from epp.sharing.redis_client import read_address
from epp.sharing.redis_journal import RedisJournal
from gateway.service import clock
from tests.integration.epp.sharing.replicas import Counts, until
from tests.unit.epp.admission.queues import SLOTS, Client, Queues

BEAT_SECONDS = 0.5


class SharingPicker:
    """One replica; its host's clock is some seconds ahead of the others'."""

    def __init__(self, url: str, name: str, text: str = SLOTS, *, ahead: float = 0.0) -> None:
        self._ahead = ahead
        self.counts = Counts()
        knowledge = Knowledge(
            in_flight=lambda pool: self.picker.pools.restate(pool),
            everything=lambda pool: self.picker.pools.everything(pool),
        )
        self.journal = RedisJournal(read_address(url), name, self.counts, knowledge)
        self.queues = Queues(text, replica=name, journal=self.journal)
        self.picker = self.queues.picker
        self.follower = Follower(self.journal, self._apply, lambda: self.picker.pools.states, self.counts)

    def burst(self, requests: int) -> list[Client]:
        """So many requests at one moment."""
        return [self.queues.send(self.now()) for _ in range(requests)]

    def now(self) -> float:
        """By its clock."""
        return clock.monotonic() + self._ahead

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follower.run())
            while True:
                self.picker.beat(self.now())
                await asyncio.sleep(BEAT_SECONDS)

    def _apply(self, events: Sequence[SharedEvent]) -> None:
        now = self.now()
        for event in events:
            self.picker.apply(event, now)
        self.picker.resume(now)


@asynccontextmanager
async def sharing(*pickers: SharingPicker) -> AsyncIterator[None]:
    """They run, and each knows that the others live."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in pickers]
        try:
            await until(lambda: all(_live(each) == len(pickers) - 1 for each in pickers))
            yield
        finally:
            for task in tasks:
                task.cancel()


def _live(each: SharingPicker) -> int:
    replicas = each.picker.pools.replicas(each.now())
    return sum(run["standing"] == "alive" for runs in replicas.values() for run in runs)  # type: ignore[attr-defined]
