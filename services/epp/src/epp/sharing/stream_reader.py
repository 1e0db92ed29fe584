"""Reads one pool's stream: what is kept of it, and what comes. A shell on redis-py."""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any, Final

from epp.domain import PoolId, SharedEvent
from epp.sharing import codec
from epp.sharing.condition import Condition
from epp.sharing.journal import Batch, Position, Snapshot
from epp.sharing.metrics import SharingMetrics, of_requests
from epp.sharing.redis_client import FAILURES, Client, raise_if_cancelled
from epp.sharing.snapshot_reader import CLAIM_SECONDS, SnapshotReader
from epp.sharing.stream_keys import BEGINNING, COPY, EVENTS, OFFERED, SENDER, WANTED, order_of, stream_of
from gateway.service import logs

log = logs.get(__name__)

READ_BLOCK_SECONDS: Final = 1.0
READ_MESSAGES: Final = 64
# A stream that was emptied and goes on at once cannot be told from one that goes on, but by its begin.
LOOK_SECONDS: Final = 1.0
# A picker that starts while no other lives reads what was shared this long ago. Sessions live as long by default, and
# those in use are shared more often than that; model servers still hold the prefixes.
REPLAY_SECONDS: Final = 300


class StreamReader:
    """One follower. `sender` is who writes from this process: what it wrote is left out. `wanted` is called with the
    name under which another replica wants a snapshot."""

    def __init__(self, redis: Client, sender: str, pool: PoolId, condition: Condition, metrics: SharingMetrics) -> None:
        self.wanted: Callable[[str], None] = _ignore
        self._redis = redis
        self._snapshots = SnapshotReader(redis, sender, pool)
        self._sender = sender.encode()
        self._pool = pool
        self._key = stream_of(pool)
        self._condition = condition
        self._metrics = metrics
        self._clock = 0.0  # Redis's, when ours was zero
        self._looked: Position = BEGINNING  # what had been read the last time that was looked for losses
        self._looked_at = float("-inf")
        self._missed: Position = BEGINNING  # the oldest message when some before it were found to be lost

    async def follow(self, start: Position) -> AsyncIterator[Batch]:
        """Each message from there on; see `Journal.subscribe`."""
        at, is_sure = start or BEGINNING, False
        while True:
            raise_if_cancelled()
            try:
                if not is_sure or monotonic() - self._looked_at > LOOK_SECONDS:
                    at, has_gap = await self._resume(at)
                    if has_gap:
                        yield Batch((), has_gap=True)
                found = await self._read(at, READ_BLOCK_SECONDS)
            except FAILURES as error:
                is_sure = False
                await asyncio.sleep(self._condition.failed(self._pool, str(error)))
                continue
            self._condition.worked(self._pool)
            is_sure = bool(found)  # a stream that begins anew may lie before this place
            for at, fields in found:
                yield self._batch(fields, self._clock + monotonic() - order_of(at)[0] / 1000)
                await asyncio.sleep(0)

    async def snapshot(self, offer: str) -> Snapshot:
        """What the replica knows that made the offer, or another one; where none lives, what is kept of the last
        minutes."""
        try:
            found = await self._snapshot(offer)
        except FAILURES as error:
            raise_if_cancelled()
            self._condition.failed(self._pool, str(error))
            return Snapshot(lacks=str(error) or type(error).__name__)
        raise_if_cancelled()
        self._condition.worked(self._pool)
        return found

    async def _snapshot(self, offer: str) -> Snapshot:
        seconds, _ = await self._redis.time()
        position = await self._end(is_newest=True)
        try:
            events = await (self._snapshots.offered(offer) if offer else self._snapshots.request(int(seconds)))
        except codec.MalformedError as error:
            log.debug("a snapshot cannot be read", pool=self._pool, reason=str(error))
            self._metrics.dropped(1)
            events = () if offer else None
        return await self._tail(int(seconds)) if events is None else Snapshot(events, position)

    async def _tail(self, seconds: int) -> Snapshot:
        events: list[SharedEvent] = []
        at, position = f"{max(0, seconds - REPLAY_SECONDS) * 1000}-0", await self._end(is_newest=True)
        while found := await self._range(at):
            for name, fields in found:
                events += self._events(fields)
                await asyncio.sleep(0)
                at = position = name
        return Snapshot(tuple(events), position)

    async def _range(self, after: Position) -> list[tuple[Position, dict[bytes, bytes]]]:
        found: Any = await self._redis.xrange(self._key, min=f"({after}", count=READ_MESSAGES)
        return [(name.decode(), fields) for name, fields in found or ()]

    async def _read(self, after: Position, block: float) -> list[tuple[Position, dict[bytes, bytes]]]:
        found: Any = await self._redis.xread({self._key: after}, count=READ_MESSAGES, block=int(block * 1000))
        return [(name.decode(), fields) for _, messages in found or () for name, fields in messages]

    async def _resume(self, at: Position) -> tuple[Position, bool]:
        """Where to read on, and whether something before is lost: the stream began anew, or what was not read of its
        begin was dropped."""
        seconds, microseconds = await self._redis.time()
        self._clock = seconds + microseconds / 1e6 - monotonic()
        oldest, newest = await self._end(is_newest=False), await self._end(is_newest=True)
        before, self._looked, self._looked_at = self._looked, at, monotonic()
        if at == BEGINNING:
            return at, False
        if order_of(newest) < order_of(at):
            self._looked = BEGINNING
            return BEGINNING, True
        since = at if before == BEGINNING else before
        is_missing = order_of(oldest) > order_of(since) and oldest != self._missed
        self._missed = oldest if is_missing else self._missed
        return at, is_missing

    async def _end(self, *, is_newest: bool) -> Position:
        """The place of the stream's last or first message, its beginning where it has none."""
        read = self._redis.xrevrange if is_newest else self._redis.xrange
        found: Any = await read(self._key, count=1)
        return found[0][0].decode() if found else BEGINNING

    def _batch(self, fields: dict[bytes, bytes], lag: float) -> Batch:
        if fields.get(SENDER) == self._sender:
            return Batch((), lag_seconds=lag)
        if WANTED in fields and lag < CLAIM_SECONDS:
            self.wanted(fields[WANTED].decode(errors="replace"))
        offer = fields.get(OFFERED, b"").decode(errors="replace")
        return Batch(self._events(fields), has_gap=bool(offer), lag_seconds=lag, offer=offer)

    def _events(self, fields: dict[bytes, bytes]) -> tuple[SharedEvent, ...]:
        if fields.get(SENDER) == self._sender or COPY in fields:
            return ()
        try:
            events = codec.decode(fields.get(EVENTS, b""))
        except codec.MalformedError as error:
            log.debug("a shared message cannot be read", pool=self._pool, reason=str(error))
            self._metrics.dropped(1)
            return ()
        self._metrics.shared("in", of_requests(events))
        return events


def _ignore(_name: str) -> None:
    """No snapshot is made here."""
