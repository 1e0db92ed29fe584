"""Answers the other workers of this host, over a Unix socket. A shell on asyncio's streams.

Each connection is one question. A follower's lasts as long as both; it gets what is kept and what comes, at its own
pace, from the tail: nothing is queued for it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from epp.domain import PoolId, SharedEvent
from epp.sharing import codec
from epp.sharing.fields import MalformedError
from epp.sharing.journal import Everything
from epp.sharing.local_tail import Tail
from epp.sharing.local_wire import (
    END,
    GAP,
    HELLO,
    MESSAGE,
    QUESTION_LIMIT,
    Question,
    Record,
    read_question,
    write,
)
from epp.sharing.outbox import MESSAGE_BYTES
from gateway.service import clock, logs

log = logs.get(__name__)

QUESTION_SECONDS: Final = 5.0
# How soon it is seen that a follower left, where nothing is published.
LOOK_SECONDS: Final = 1.0
# Events of a snapshot in one message, of which each may be large: a millisecond of the loop.
CHUNK: Final = 200


class Tails:
    """The tails of all pools, and a wake-up for those who follow one."""

    def __init__(self) -> None:
        self.by_pool: dict[PoolId, Tail] = {}
        self._grown: dict[PoolId, asyncio.Event] = {}

    def of(self, pool: PoolId) -> Tail:
        """The tail of a pool; of one that nothing was published about, an empty one that is not kept."""
        return self.by_pool.get(pool) or Tail()

    def grown(self, pool: PoolId) -> asyncio.Event:
        """Set when the pool's tail has a new message."""
        return self._grown.setdefault(pool, asyncio.Event())

    def wake(self, pool: PoolId) -> None:
        """It has one now."""
        grown = self._grown.pop(pool, None)
        if grown is not None:
            grown.set()


class LocalServer:
    """`run` names this process; numbers of messages count from its start."""

    def __init__(self, run: str, tails: Tails, everything: Everything) -> None:
        self._run = run
        self._tails = tails
        self._everything = everything
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self, socket: Path) -> AsyncIterator[None]:
        """Serve while the body runs. A socket that an earlier process left is replaced; connections end, too."""
        server = await asyncio.start_unix_server(self._connected, str(socket), limit=QUESTION_LIMIT)
        try:
            yield
        finally:
            server.close()
            open_ones = tuple(self._connections)
            for task in open_ones:
                task.cancel()
            await asyncio.gather(*open_ones, return_exceptions=True)
            await asyncio.sleep(0)  # transports close in the next turn

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.close())  # also of one that is cancelled before it begins

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                question = read_question(await reader.readuntil())
            if question.is_snapshot:
                await self._write_kept(question, writer)
            else:
                await self._follow(question, reader, writer)
        except (OSError, TimeoutError, MalformedError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("a worker's connection ends", reason=str(error))

    async def _write_kept(self, question: Question, writer: asyncio.StreamWriter) -> None:
        tail = self._tails.of(question.pool)
        last = tail.last
        self._greet(writer, last)
        for message in tail.after(0)[0]:
            writer.write(write(Record(MESSAGE, message.number, message.sealed_at, message.body)))
        await writer.drain()
        if question.wants_all:
            for body in _bodies(self._everything(question.pool)):
                writer.write(write(Record(MESSAGE, last, clock.monotonic(), body)))
                await writer.drain()
                await asyncio.sleep(0)
        writer.write(write(Record(END, last)))
        await writer.drain()

    async def _follow(self, question: Question, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = question.after if question.run == self._run else 0
        self._greet(writer, at)
        while not reader.at_eof():
            grown = self._tails.grown(question.pool)
            tail = self._tails.of(question.pool)
            messages, has_gap = tail.after(at)
            at = tail.last
            if has_gap:
                writer.write(write(Record(GAP, at)))
            writer.writelines(write(Record(MESSAGE, each.number, each.sealed_at, each.body)) for each in messages)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await grown.wait()

    def _greet(self, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(write(Record(HELLO, number, body=self._run.encode())))


def _bodies(events: Iterator[SharedEvent]) -> Iterator[bytes]:
    """Messages of a bounded size; one event may have half a megabyte of block hashes."""
    frames: list[bytes] = []
    size = 0
    for event in events:
        frames.append(codec.encode(event))
        size += len(frames[-1])
        if size >= MESSAGE_BYTES or len(frames) >= CHUNK:
            yield codec.join(frames)
            frames, size = [], 0
    if frames:
        yield codec.join(frames)
