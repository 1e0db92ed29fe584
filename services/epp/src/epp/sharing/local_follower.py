"""Reads from another worker of this host: what it knows, and what it publishes. A shell on asyncio's streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from epp.domain import PoolId, SharedEvent
from epp.sharing import codec
from epp.sharing.fields import MalformedError
from epp.sharing.journal import Batch
from epp.sharing.local_wire import (
    END,
    GAP,
    HELLO,
    MESSAGE,
    RECORD,
    Question,
    Record,
    read_head,
    write_question,
)
from epp.sharing.metrics import SharingMetrics, of_requests
from gateway.service import clock, logs

log = logs.get(__name__)

# Until a sibling that does not run is tried again, and one that failed again and again.
PAUSE_SECONDS: Final = (0.05, 1.0)
# A sibling that is silent in a snapshot for so long hangs.
SILENCE_SECONDS: Final = 1.0
# A million blocks on each of eight endpoints take some 70 MB.
SNAPSHOT_BYTES: Final = 512 * 1024 * 1024

_FAILURES: Final = (OSError, EOFError, MalformedError)


class SnapshotError(Exception):
    """A worker that runs gave none; the message says which one and why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one worker gave: events, and its run with the number of its last message."""

    events: tuple[SharedEvent, ...]
    run: str
    last: int


class Sibling:
    """The worker `index`, at its socket."""

    def __init__(self, index: int, socket: Path, metrics: SharingMetrics) -> None:
        self.index = index
        self._socket = socket
        self._metrics = metrics

    async def snapshot(self, pool: PoolId, *, wants_all: bool) -> Kept | None:
        """What is kept; None when it does not run. Raises SnapshotError."""
        try:
            async with self._answer_to(Question(pool, is_snapshot=True, wants_all=wants_all)) as reader:
                return await self._kept(reader)
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except (TimeoutError, *_FAILURES) as error:
            raise SnapshotError(f"worker {self.index}: {str(error) or type(error).__name__}") from None

    async def follow(self, pool: PoolId, place: tuple[str, int] | None, coming: "asyncio.Queue[Batch]") -> None:
        """Put what it publishes there, for ever, from after a message of a run of it."""
        run, number = place or ("", 0)
        pause = PAUSE_SECONDS[0]
        while True:
            try:
                async with self._answer_to(Question(pool, run=run, after=number)) as reader:
                    run, number = await self._hello(reader)
                    pause = PAUSE_SECONDS[0]
                    while True:
                        record = await _record(reader)
                        number = record.number
                        await coming.put(self._batch(record))
            except MalformedError as error:
                log.warning("a worker's journal cannot be read", worker=self.index, pool=pool, reason=str(error))
                self._metrics.dropped(1)
            except (OSError, EOFError):  # it does not run: the supervisor tells of it
                pass
            await asyncio.sleep(pause)
            pause = min(PAUSE_SECONDS[1], 2 * pause)

    async def _kept(self, reader: asyncio.StreamReader) -> Kept:
        async with asyncio.timeout(SILENCE_SECONDS):
            run, _ = await self._hello(reader)
        events: list[SharedEvent] = []
        size = 0
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                record = await _record(reader)
            if record.kind == END:
                return Kept(tuple(events), run, record.number)
            size += len(record.body)
            if size > SNAPSHOT_BYTES:
                raise MalformedError(f"more than {SNAPSHOT_BYTES} bytes")
            events += codec.decode(record.body)
            await asyncio.sleep(0)

    def _batch(self, record: Record) -> Batch:
        if record.kind == GAP:
            return Batch((), has_gap=True)
        if record.kind != MESSAGE:
            raise MalformedError(f"{record.kind!r} amid messages")
        events = codec.decode(record.body)
        self._metrics.shared("in", of_requests(events))
        return Batch(events, lag_seconds=clock.monotonic() - record.seconds)

    @staticmethod
    async def _hello(reader: asyncio.StreamReader) -> tuple[str, int]:
        record = await _record(reader)
        if record.kind != HELLO:
            raise MalformedError(f"{record.kind!r} in place of a greeting")
        return record.body.decode(errors="replace"), record.number

    @contextlib.asynccontextmanager
    async def _answer_to(self, question: Question) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            writer.write(write_question(question))
            yield reader
        finally:
            writer.close()


async def _record(reader: asyncio.StreamReader) -> Record:
    found, length = read_head(await reader.readexactly(RECORD.size))
    if not length:
        return found
    return Record(found.kind, found.number, found.seconds, await reader.readexactly(length))
