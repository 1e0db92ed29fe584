"""A Journal among the workers of one host: each serves what it publishes on a Unix socket and follows its siblings'.
A shell; no pick waits for it, and no other process stands between two workers.

A worker that starts takes all that a live sibling knows. One that hangs is waited for by nobody; one that comes back
reads on where it was, or finds that it missed too much and takes a snapshot.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from epp.domain import PoolId, SharedEvent
from epp.sharing.journal import POOLS_LIMIT, Batch, Knowledge, Position, Snapshot
from epp.sharing.local_follower import Sibling, SnapshotError
from epp.sharing.local_server import LocalServer, Tails
from epp.sharing.local_tail import Tail
from epp.sharing.metrics import SharingMetrics
from gateway.service import clock
from gateway.service.worker import Worker

# The first event after a pause goes at once; under load one message has what this time brought.
GATHER_SECONDS: Final = 0.002
# Batches between a sibling's socket and the follower, which reads no more of the socket when it is behind.
BATCHES_LIMIT: Final = 16


class LocalJournal:
    """Run `run` beside the picker. A sibling that starts is given all of `knowledge`."""

    def __init__(self, worker: Worker, metrics: SharingMetrics, knowledge: Knowledge) -> None:
        self._worker = worker
        self._metrics = metrics
        self._tails = Tails()
        self._unsealed: dict[PoolId, Tail] = {}
        self._filled = asyncio.Event()
        self._server = LocalServer(secrets.token_hex(8), self._tails, knowledge.everything)
        others = (index for index in range(worker.count) if index != worker.index)
        self._siblings = tuple(Sibling(index, worker.journal(index), metrics) for index in others)

    def publish(self, events: Iterable[SharedEvent]) -> None:
        """Share events soon; never waits."""
        for event in events:
            tail = self._tails.by_pool.get(event.pool) or self._tail(event.pool)
            dropped = 1 if tail is None else tail.put(event)
            if dropped:
                self._metrics.dropped(dropped)
            if tail is not None:
                self._unsealed[event.pool] = tail
        self._filled.set()

    async def subscribe(self, pool: PoolId, start: Position) -> AsyncIterator[Batch]:
        """See `Journal`."""
        places = read_position(start)
        coming: asyncio.Queue[Batch] = asyncio.Queue(BATCHES_LIMIT)
        follow = (each.follow(pool, places.get(each.index), coming) for each in self._siblings)
        # Not in a group, which would wrap what ends a generator.
        tasks = [asyncio.create_task(each) for each in follow]  # noqa: TID251
        try:
            while True:
                yield await coming.get()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def snapshot(self, pool: PoolId, offer: str = "") -> Snapshot:
        """See `Journal`: all that one live sibling knows, and what the others published last. Nothing is offered."""
        del offer
        events: list[SharedEvent] = []
        places: dict[int, tuple[str, int]] = {}
        lacks = []
        has_all = False
        for sibling in self._siblings:
            # One that does not run is known at once: who retries without end must not hold the loop.
            await asyncio.sleep(0)
            try:
                found = await sibling.snapshot(pool, wants_all=not has_all)
            except SnapshotError as error:
                lacks.append(str(error))
                continue
            if found is not None:  # else it does not run
                has_all = True
                events += found.events
                places[sibling.index] = (found.run, found.last)
        return Snapshot(tuple(events), write_position(places), ", ".join(lacks))

    async def run(self) -> None:
        """Serve until cancelled."""
        async with self._server.serving(self._worker.journal(self._worker.index)):
            while True:
                await self._filled.wait()
                self._filled.clear()
                for pool, tail in tuple(self._unsealed.items()):
                    self._seal(pool, tail)
                    await asyncio.sleep(0)
                await asyncio.sleep(GATHER_SECONDS)

    def _seal(self, pool: PoolId, tail: Tail) -> None:
        sealed = tail.seal(clock.monotonic())
        self._tails.wake(pool)
        self._metrics.shared("out", sealed.shared)
        if sealed.unwritable:
            self._metrics.dropped(sealed.unwritable)
        if tail.is_sealed:
            del self._unsealed[pool]
        else:
            self._filled.set()

    def _tail(self, pool: PoolId) -> Tail | None:
        if len(self._tails.by_pool) >= POOLS_LIMIT:
            return None
        return self._tails.by_pool.setdefault(pool, Tail())


def write_position(places: Mapping[int, tuple[str, int]]) -> Position:
    """The run and the last message of each sibling: `1:RUN:17 3:RUN:5`."""
    return " ".join(f"{index}:{run}:{number}" for index, (run, number) in places.items())


def read_position(position: Position) -> Mapping[int, tuple[str, int]]:
    """What `write_position` wrote."""
    parts = (each.split(":") for each in position.split())
    return {int(index): (run, int(number)) for index, run, number in parts}
