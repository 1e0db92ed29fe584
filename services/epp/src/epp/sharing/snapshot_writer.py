"""Lays down what this replica knows of a pool where another can read it: a stream of its own in Redis, gone after a
minute. A shell on redis-py.

A replica that lacks the past asks all, in the pool's stream; whoever claims the request first answers it. One that
could not publish all it wanted offers its knowledge to the others unasked.
"""

import asyncio
import secrets
from collections import deque
from typing import Any, Final

from redis import exceptions

from epp.domain import PoolId
from epp.sharing import codec
from epp.sharing.journal import Everything
from epp.sharing.outbox import MESSAGE_BYTES
from epp.sharing.redis_client import FAILURES, Client, raise_if_cancelled
from epp.sharing.stream_keys import (
    CLAIM,
    END,
    EVENTS,
    OFFERED,
    SENDER,
    SNAPSHOT_SECONDS,
    STREAM_LENGTH,
    snapshot_of,
    stream_of,
)
from gateway.service import logs

log = logs.get(__name__)

# Requests that wait to be answered: as many replicas may start at a time.
REQUESTS_LIMIT: Final = 16
# Events written down before others on the loop have their turn.
TURN_EVENTS: Final = 8
# Of these, as many as anybody asks for in good faith.
PAUSE_SECONDS: Final = 0.1
_LONGEST_NAME: Final = 64


class SnapshotWriter:
    """Of one pool."""

    def __init__(self, sender: str, pool: PoolId, everything: Everything) -> None:
        self._sender = sender.encode()
        self._pool = pool
        self._everything = everything
        self._requests: deque[str] = deque(maxlen=REQUESTS_LIMIT)
        self._offers = False
        self._wake = asyncio.Event()

    def answer(self, name: str) -> None:
        """Somebody wants a snapshot under this name."""
        if len(name) <= _LONGEST_NAME:
            self._requests.append(name)
            self._wake.set()

    def offer(self) -> None:
        """The others lack something of what this replica knows."""
        self._offers = True
        self._wake.set()

    async def run(self, redis: Client) -> None:
        """Write until cancelled."""
        while True:
            raise_if_cancelled()
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._write(redis)
            except FAILURES as error:  # who asked asks again
                log.debug("a snapshot was not written", pool=self._pool, reason=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _write(self, redis: Client) -> None:
        while self._requests:
            await self._lay_down(redis, self._requests.popleft())
        if self._offers:
            name = secrets.token_hex(8)
            if await self._lay_down(redis, name):
                self._offers = False
                fields: dict[Any, Any] = {SENDER: self._sender, OFFERED: name}
                await redis.xadd(stream_of(self._pool), fields, maxlen=STREAM_LENGTH, approximate=True)

    async def _lay_down(self, redis: Client, name: str) -> bool:
        """Whether it was done here, and not by another replica."""
        key = snapshot_of(self._pool, name)
        try:
            await redis.xadd(key, {SENDER: self._sender}, id=CLAIM)
        except exceptions.ResponseError:  # another one was first
            return False
        await redis.expire(key, SNAPSHOT_SECONDS)
        frames: list[bytes] = []
        size = count = 0
        for event in self._everything(self._pool):
            frames.append(codec.encode(event))
            size, count = size + len(frames[-1]), count + 1
            if size >= MESSAGE_BYTES:
                await redis.xadd(key, {EVENTS: codec.join(frames)})
                frames, size = [], 0
            elif count % TURN_EVENTS == 0:
                await asyncio.sleep(0)
        await redis.xadd(key, {EVENTS: codec.join(frames), END: b"1"})
        return True
