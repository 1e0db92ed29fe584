"""Replicas over a journal, as tests drive them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from epp.domain import EndpointId, PoolId, PrefixLearned, SharedEvent
from epp.sharing.journal import Journal, Knowledge, Position
from epp.sharing.redis_client import connect, read_address
from epp.sharing.redis_journal import RedisJournal

POOL = PoolId("default/a")
EVENT = PrefixLearned(POOL, EndpointId("10.0.0.1:8000"), (1, 2, 2**64 - 1), 7)
NOTHING_KNOWN = Knowledge(in_flight=lambda _: (), everything=lambda _: iter(()))


class Counts:
    """What a journal reports."""

    def __init__(self) -> None:
        self.moved = {"in": 0, "out": 0}
        self.lost = 0
        self.changes: list[tuple[str, bool]] = []
        self.lags: list[float] = []

    def shared(self, direction: str, events: int) -> None:
        self.moved[direction] += events

    def dropped(self, events: int) -> None:
        self.lost += events

    def sharing(self, direction: str, *, works: bool) -> None:
        self.changes.append((direction, works))

    def works(self) -> set[bool]:
        """Whether each direction does, as far as it ever changed."""
        return set(dict(self.changes).values()) or {True}

    def lagged(self, direction: str, seconds: float) -> None:
        self.lags.append(seconds)


class Replica:
    """Publishes, and keeps what comes of one pool."""

    def __init__(self, url: str, name: str, pool: PoolId = POOL) -> None:
        self.received_events: list[SharedEvent] = []
        self.gaps = 0
        self.counts = Counts()
        self.restated: list[SharedEvent] = []
        self.known: list[SharedEvent] = []
        self.knowledge = Knowledge(in_flight=lambda _: self.restated, everything=lambda _: iter(self.known))
        self.pool = pool
        self.journal: Journal = RedisJournal(read_address(url), name, self.counts, self.knowledge)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.journal.run())
            position = await self._take("")
            async for batch in self.journal.subscribe(self.pool, position):
                if batch.has_gap:
                    self.gaps += 1
                    group.create_task(self._take(batch.offer))
                self.received_events += batch.events

    async def _take(self, offer: str) -> Position:
        while (found := await self.journal.snapshot(self.pool, offer)).lacks:
            await asyncio.sleep(0.02)
        self.received_events += found.events
        return found.position


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(replica.run()) for replica in replicas]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen"
        await asyncio.sleep(0.002)
    return time.monotonic() - started


async def connected(*replicas: Replica) -> None:
    """Every replica has seen every other once."""
    for number, replica in enumerate(replicas):
        replica.journal.publish((PrefixLearned(replica.pool, EndpointId("hello"), (number,)),))
    await until(lambda: all(len(replica.received_events) >= len(replicas) - 1 for replica in replicas))
    for replica in replicas:
        replica.received_events.clear()


async def command(url: str, *words: str | bytes) -> None:
    """As an operator or another program would."""
    client = connect(read_address(url))
    try:
        await client.execute_command(*words)
    finally:
        await client.aclose()
