"""A Journal in Redis: one bounded stream for each pool. A shell on redis-py; no pick waits for it.

`publish` puts events into the pool's outbox; one task for each pool writes what is there, in batches. Redis that is
slow, gone, full or back again costs knowledge and nothing else: each task starts over with growing pauses.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import Final

from epp.domain import AnswerStored, FeedbackForwarded, PoolId, PrefixLearned, SharedEvent
from epp.sharing.condition import Condition
from epp.sharing.journal import POOLS_LIMIT, Batch, Knowledge, Position, Snapshot
from epp.sharing.metrics import SharingMetrics
from epp.sharing.redis_address import Address, Password
from epp.sharing.redis_client import Client, close, connect
from epp.sharing.snapshot_writer import SnapshotWriter
from epp.sharing.stream_keys import EARLIER
from epp.sharing.stream_reader import StreamReader
from epp.sharing.stream_writer import StreamWriter

# So long after a message of an earlier release its stream is written, too: there is a replica that reads it.
EARLIER_SECONDS: Final = 120.0
KNOWN_EARLIER: Final = (PrefixLearned, AnswerStored, FeedbackForwarded)


class RedisJournal:
    """Run `run` beside the picker. `sender` tells this process from all others, those before it among them."""

    def __init__(
        self,
        address: Address,
        sender: str,
        metrics: SharingMetrics,
        knowledge: Knowledge,
        password: Password | None = None,
    ) -> None:
        self._address = address
        self._password = password
        self._sender = sender
        self._metrics = metrics
        self._knowledge = knowledge
        self._writing, self._reading = Condition("write", metrics), Condition("read", metrics)
        self._writers: dict[PoolId, StreamWriter] = {}
        self._earlier_until = float("-inf")
        self._started: set[PoolId] = set()
        self._whole: set[PoolId] = set()  # of which this replica has the past: it may pass it on
        self._group: asyncio.TaskGroup | None = None

    def publish(self, events: Iterable[SharedEvent]) -> None:
        """Share events soon; never waits."""
        for event in events:
            self._put(event.pool, event)
            if monotonic() < self._earlier_until and isinstance(event, KNOWN_EARLIER):
                self._put(EARLIER, event)

    def _put(self, pool: PoolId, event: SharedEvent) -> None:
        writer = self._writers.get(pool) or self._writer(pool)
        if writer is None:
            self._metrics.dropped(1)
        else:
            writer.put(event)

    async def subscribe(self, pool: PoolId, start: Position) -> AsyncIterator[Batch]:
        """See `Journal`."""
        redis = self._connect()
        try:
            async for batch in self._reader(redis, pool).follow(start):
                if batch.has_gap and pool in self._writers:
                    self._writers[pool].restates = True
                if pool == EARLIER and batch.events:
                    self._earlier_until = monotonic() + EARLIER_SECONDS
                yield batch
        finally:
            self._reading.forget(pool)
            await close(redis)

    async def snapshot(self, pool: PoolId, offer: str = "") -> Snapshot:
        """See `Journal`."""
        redis = self._connect()
        try:
            found = await self._reader(redis, pool).snapshot(offer)
            if not found.lacks:
                self._whole.add(pool)
            return found
        finally:
            await close(redis)

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for pool, writer in self._writers.items():
                    self._start(pool, writer)
                await asyncio.Event().wait()
        finally:
            self._group = None

    def _connect(self) -> Client:
        """Each task has a client of its own: that of a cluster closes connections that other tasks are opening."""
        return connect(self._address, self._password)

    def _reader(self, redis: Client, pool: PoolId) -> StreamReader:
        reader = StreamReader(redis, self._sender, pool, self._reading, self._metrics)
        reader.wanted = lambda name: self._answer(pool, name)
        return reader

    def _answer(self, pool: PoolId, name: str) -> None:
        writer = self._writers.get(pool)
        if writer is not None and pool in self._whole:
            writer.snapshots.answer(name)

    def _writer(self, pool: PoolId) -> StreamWriter | None:
        if len(self._writers) >= POOLS_LIMIT:
            return None
        writer = StreamWriter(self._sender, pool, self._writing, self._metrics, self._knowledge)
        self._writers[pool] = writer
        self._start(pool, writer)
        return writer

    def _start(self, pool: PoolId, writer: StreamWriter) -> None:
        if self._group is not None and pool not in self._started:
            self._started.add(pool)
            self._group.create_task(self._write(writer))
            self._group.create_task(self._write(writer.snapshots))

    async def _write(self, writer: StreamWriter | SnapshotWriter) -> None:
        redis = self._connect()
        try:
            await writer.run(redis)
        finally:
            await close(redis)
