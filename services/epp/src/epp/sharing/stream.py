"""Shares events through one bounded Redis stream. A shell on redis.asyncio; the pick never waits for it.

`record` puts an event into the outbox. One task writes what is there, in batches; another reads what the others wrote
and hands it to the brain. Redis that is slow, gone or back again costs knowledge and nothing else: both tasks start
over with growing pauses, and say so once per change.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from epp.domain import SharedEvent
from epp.sharing import codec
from epp.sharing.outbox import Outbox
from gateway.service import logs

log = logs.get(__name__)

STREAM = "pointsman:shared:1"
# Messages kept, about; with batches of a few kilobytes some dozen MB.
STREAM_LENGTH = 20_000
# A picker that starts reads what was shared this long ago: model servers still hold those prefixes.
REPLAY_SECONDS = 120
# Gathers what one burst brought; far below the 100 ms within which replicas promise to know.
GATHER_SECONDS = 0.003
READ_BLOCK_SECONDS = 1.0
READ_MESSAGES = 64
CALL_SECONDS = 2.0
PAUSE_SECONDS = (0.05, 2.0)

_REPLICA, _EVENTS = b"r", b"e"
_BEGIN = "0-0"
FAILURES = (exceptions.RedisError, OSError, TimeoutError)


class SharingMetrics(Protocol):
    """What an operator counts."""

    def shared(self, direction: str, events: int) -> None:
        """Events went out or came in."""

    def dropped(self, events: int) -> None:
        """Events that the others will not hear of."""


Apply = Callable[[SharedEvent], None]


class _Direction:
    """Whether one of the two works: a line in the log when that changes, and a longer pause after each failure until it
    works. That Redis answers a greeting says nothing: it may be full, read-only, or hold something else there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0

    def worked(self) -> None:
        """What it is for was done."""
        if self._failures:
            log.info("sharing again", direction=self._name, failures=self._failures)
            self._failures = 0

    def failed(self, reason: str) -> float:
        """It was not; the seconds until the next try."""
        if not self._failures:
            log.warning("sharing fails; picking goes on without it", direction=self._name, reason=reason)
        self._failures += 1
        return min(PAUSE_SECONDS[1], PAUSE_SECONDS[0] * 2.0 ** min(self._failures - 1, 16))


class SharedStream:
    """A Journal. Run `run` beside the brain."""

    def __init__(
        self, url: str, replica: str, apply: Apply, metrics: SharingMetrics, *, password: str | None = None
    ) -> None:
        self._url = url
        self._password = password
        self._replica = replica.encode()
        self._apply = apply
        self._metrics = metrics
        self._outbox = Outbox()
        self._filled = asyncio.Event()
        self._last = ""  # the last message read
        self._writing, self._reading = _Direction("write"), _Direction("read")

    def record(self, event: SharedEvent) -> None:
        """Share an event soon; never waits."""
        self._drop(self._outbox.put(codec.encode(event)))
        self._filled.set()

    def _drop(self, events: int) -> None:
        if events:
            self._metrics.dropped(events)

    async def run(self) -> None:
        """Write and read until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._persist(self._writing, self._write))
            group.create_task(self._persist(self._reading, self._read))

    async def _persist(self, direction: _Direction, work: Callable[[Redis], Awaitable[None]]) -> None:
        while not is_cancelled():
            redis = connect(self._url, self._password)
            try:
                await work(redis)
            except FAILURES as error:
                await asyncio.sleep(direction.failed(str(error)))
            finally:
                await redis.aclose()

    async def _write(self, redis: Redis) -> None:
        while not is_cancelled():
            await self._filled.wait()
            await asyncio.sleep(GATHER_SECONDS)
            while len(self._outbox) and not is_cancelled():
                frames = self._outbox.take()
                fields: dict[Any, Any] = {_REPLICA: self._replica, _EVENTS: codec.join(frames)}
                try:
                    await redis.xadd(STREAM, fields, maxlen=STREAM_LENGTH, approximate=True)
                except FAILURES:  # perhaps it was written nevertheless: hearing it twice does no harm
                    self._drop(self._outbox.put_back(frames))
                    raise
                self._writing.worked()
                self._metrics.shared("out", len(frames))
            self._filled.clear()

    async def _read(self, redis: Redis) -> None:
        self._last = await self._resume(redis)
        while not is_cancelled():
            block = int(READ_BLOCK_SECONDS * 1000)
            found: Any = await redis.xread({STREAM: self._last}, count=READ_MESSAGES, block=block)
            self._reading.worked()
            for _, messages in found or ():
                for name, fields in messages:
                    self._take(fields)
                    self._last = name.decode()
            await asyncio.sleep(0)

    async def _resume(self, redis: Redis) -> str:
        """Where to read on: after what was read, unless the stream was lost and began anew."""
        newest: Any = await redis.xrevrange(STREAM, count=1)
        last = newest[0][0].decode() if newest else _BEGIN
        if not self._last:
            seconds, _ = await redis.time()
            return f"{max(0, int(seconds) - REPLAY_SECONDS) * 1000}-0"
        return self._last if _order(self._last) <= _order(last) else _BEGIN

    def _take(self, fields: dict[bytes, bytes]) -> None:
        if fields.get(_REPLICA) == self._replica:
            return
        try:
            events = codec.decode(fields.get(_EVENTS, b""))
        except codec.MalformedError as error:
            log.debug("a shared message cannot be read", reason=str(error))
            self._metrics.dropped(1)
            return
        for event in events:
            self._apply(event)
        self._metrics.shared("in", len(events))


def connect(url: str, password: str | None = None, seconds: float = CALL_SECONDS) -> Redis:
    """A client that fails fast; its user is what tries again. A password in the URL comes first."""
    client: Redis = Redis.from_url(
        url,
        password=password,
        protocol=2,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
    )
    return client


def is_cancelled() -> bool:
    """Whether this task was asked to end. The Redis client can lose a cancellation that meets an answer coming in, so
    a loop around it must look."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _order(name: str) -> tuple[int, int]:
    milliseconds, _, sequence = name.partition("-")
    return int(milliseconds), int(sequence or 0)
