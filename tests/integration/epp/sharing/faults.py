"""What may happen to pickers that share over Redis while they are at work, and how their work went."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from epp.domain import Pick, PickId
from tests.conftest import free_ports
from tests.integration.epp.sharing.pickers import SharingPicker
from tests.integration.epp.sharing.replicas import until
from tests.unit.epp.admission.queues import IDS, POOL

# A decision that waited for Redis would take as long as a call to it may.
LONGEST_DECISION_SECONDS = 1.0
HELD = 12  # requests that each replica has in flight


class Work:
    """Requests for each of some pickers, one after the other, of which some are in flight."""

    def __init__(self, *pickers: SharingPicker) -> None:
        self.pickers = pickers
        self.decisions: list[float] = []
        self.failed = 0
        self._live: dict[SharingPicker, list[PickId]] = {each: [] for each in pickers}
        self._number = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for each in self.pickers:
                self._one(each)
            await asyncio.sleep(0.005)

    def _one(self, each: SharingPicker) -> None:
        self._number += 1
        live, started = self._live[each], time.perf_counter()
        client = each.queues.send(each.now(), text=f"conversation {self._number % 40} " * 60)
        self.decisions.append(time.perf_counter() - started)
        verdicts = [verdict for verdict in client.verdicts if isinstance(verdict, Pick)]
        self.failed += not verdicts
        live += [pick.id for pick in verdicts]
        if len(live) > HELD:
            each.queues.end(live.pop(0), each.now())

    def p99(self) -> float:
        """Of the decisions so far, in seconds."""
        return sorted(self.decisions)[int(len(self.decisions) * 0.99)]


@asynccontextmanager
async def at_work(*pickers: SharingPicker) -> AsyncIterator[Work]:
    work = Work(*pickers)
    task = asyncio.create_task(work.run())
    try:
        yield work
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def in_flight(each: SharingPicker, figure: str) -> dict[str, object]:
    (pool,) = each.picker.pools.describe(each.now())
    listed = pool["endpoints"]
    assert isinstance(listed, list)
    return {endpoint["endpoint"]: endpoint[figure] for endpoint in listed}


def know_each_other(one: SharingPicker, two: SharingPicker) -> bool:
    """What each has in flight, the other believes it to have, at each endpoint; and they agree on what those hold."""
    own, others = "in_flight", "others_in_flight"
    is_load_equal = in_flight(one, own) == in_flight(two, others) and in_flight(two, own) == in_flight(one, others)
    return is_load_equal and held(one) == held(two)


def held(each: SharingPicker) -> list[int]:
    """Blocks that each endpoint is believed to hold, and all there are."""
    index = each.picker.pools._builtin[POOL].prefixes.index
    return [len(index), *(index.held(slot) for slot in range(len(IDS)))]


async def until_they_know_each_other(one: SharingPicker, two: SharingPicker) -> float:
    """How long it took."""
    return await until(lambda: know_each_other(one, two))


class Line:
    """The way of one replica to Redis, which may be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    def cut(self) -> None:
        """Connections end, and new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, forth}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, forth))
                group.create_task(_copy(back, writer))
        finally:
            self._open -= {writer, forth}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    made = Line(port)
    await made.mend()
    try:
        yield made
    finally:
        made.cut()


@contextmanager
def redis(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """One more Redis, or a sentinel."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["redis-server", *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def went_well(work: Work) -> None:
    """No request failed, and none waited for Redis."""
    assert work.decisions
    assert work.failed == 0
    assert work.p99() < LONGEST_DECISION_SECONDS
