"""Writes one pool's events to its stream, in batches. A shell on redis-py."""

import asyncio
import struct
from collections.abc import Iterator
from itertools import islice
from time import monotonic
from typing import Any, Final

from epp.domain import PoolId, SharedEvent
from epp.sharing import codec
from epp.sharing.condition import Condition
from epp.sharing.journal import Knowledge
from epp.sharing.metrics import SharingMetrics, of_requests
from epp.sharing.outbox import EVENT_LIMIT, Outbox, event_size
from epp.sharing.redis_client import FAILURES, Client, raise_if_cancelled
from epp.sharing.snapshot_writer import SnapshotWriter
from epp.sharing.stream_keys import COPY, EARLIER, EVENTS, KEEP_SECONDS, SENDER, STREAM_LENGTH, stream_of
from gateway.service import logs

log = logs.get(__name__)

# The first event after a pause goes at once; under load one message has what this time brought.
GATHER_SECONDS: Final = 0.006
RENEW_SECONDS: Final = 60.0
# Events that are written again at once: less than would drop others.
RESTATED_LIMIT: Final = EVENT_LIMIT // 2


class StreamWriter:
    """`restates` asks for all that this replica has in flight to be written again, since others may lack it."""

    def __init__(
        self,
        sender: str,
        pool: PoolId,
        condition: Condition,
        metrics: SharingMetrics,
        knowledge: Knowledge,
    ) -> None:
        self.restates = False
        self.snapshots = SnapshotWriter(sender, pool, knowledge.everything)
        self._sender = sender.encode()
        self._pool = pool
        self._key = stream_of(pool)
        self._condition = condition
        self._metrics = metrics
        self._in_flight = knowledge.in_flight
        self._has_dropped = False
        self._outbox: Outbox[SharedEvent] = Outbox(size_of=event_size)
        self._filled = asyncio.Event()
        self._waits_since = 0.0
        self._renewed_at = float("-inf")

    def put(self, event: SharedEvent) -> None:
        """Write it soon."""
        if not self._filled.is_set():
            self._waits_since = monotonic()
            self._filled.set()
        self._drop(self._outbox.put(event))

    async def run(self, redis: Client) -> None:
        """Write until cancelled."""
        while True:
            raise_if_cancelled()
            await self._filled.wait()
            try:
                await self._write(redis)
            except FAILURES as error:
                await asyncio.sleep(self._condition.failed(self._pool, str(error)))
            else:
                await asyncio.sleep(GATHER_SECONDS)

    async def _write(self, redis: Client) -> None:
        self._filled.clear()
        waits_since = self._waits_since
        while len(self._outbox):
            raise_if_cancelled()
            events = self._outbox.take()
            try:
                await self._append(redis, events)
            except FAILURES:  # perhaps it was written nevertheless: hearing it twice does no harm
                self._drop(self._outbox.put_back(events))
                self._filled.set()
                raise
            self._condition.worked(self._pool)
            self._metrics.shared("out", of_requests(events))
            self._metrics.lagged("write", monotonic() - waits_since)
            if self.restates:
                self.restates = False
                for event in islice(self._in_flight(self._pool), RESTATED_LIMIT):
                    self._outbox.put(event)
            if self._has_dropped:
                self._has_dropped = False
                self.snapshots.offer()

    async def _append(self, redis: Client, events: list[SharedEvent]) -> None:
        fields: dict[Any, Any] = {SENDER: self._sender, EVENTS: codec.join(self._frames(events))}
        if self._pool == EARLIER:
            fields[COPY] = b"1"
        await redis.xadd(self._key, fields, maxlen=STREAM_LENGTH, approximate=True)
        if monotonic() - self._renewed_at > RENEW_SECONDS:
            await redis.expire(self._key, KEEP_SECONDS)
            self._renewed_at = monotonic()

    def _frames(self, events: list[SharedEvent]) -> Iterator[bytes]:
        for event in events:
            try:
                yield (codec.encode_earlier(event) or b"") if self._pool == EARLIER else codec.encode(event)
            except (struct.error, ValueError) as error:  # a text of 64 KiB, for example
                log.debug("an event cannot be shared", pool=self._pool, reason=str(error))
                self._metrics.dropped(1)

    def _drop(self, events: int) -> None:
        if events:
            self.restates = self._has_dropped = True
            self._metrics.dropped(events)
