"""Workers of one host over their sockets: one that starts, hangs, is replaced, or writes noise."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from epp.domain import EndpointId, PoolId, PrefixLearned, SharedEvent
from epp.sharing.journal import Knowledge
from epp.sharing.local_journal import LocalJournal
from gateway.service.worker import Worker
from tests.integration.epp.sharing.replicas import EVENT, POOL, Counts, until


class Picker:
    """A journal, and what came to it; `known` is what its picker knows."""

    def __init__(self, folder: Path, index: int, known: Iterable[SharedEvent] = (), count: int = 2) -> None:
        self.counts = Counts()
        self.journal = LocalJournal(
            Worker(folder, index, count), self.counts, Knowledge(lambda _: (), lambda _: iter(known))
        )
        self.found: list[SharedEvent] = []
        self.gaps = 0

    async def follow(self) -> None:
        found = await self.journal.snapshot(POOL)
        self.found += found.events
        async for batch in self.journal.subscribe(POOL, found.position):
            self.gaps += batch.has_gap
            self.found += batch.events
            if batch.lag_seconds is not None:
                self.counts.lagged("read", batch.lag_seconds)


@asynccontextmanager
async def running(*workers: Picker) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for worker in workers for job in (worker.journal.run(), worker.follow())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def learned(number: int) -> PrefixLearned:
    return PrefixLearned(POOL, EndpointId("e"), (number,), number)


async def test_a_worker_that_starts_gets_all_that_a_sibling_knows_not_only_what_it_published(tmp_path: Path) -> None:
    known = [learned(number) for number in range(1000)]
    old, new = Picker(tmp_path, 0, known), Picker(tmp_path, 1)
    async with running(old):
        await until((tmp_path / "journal-0.sock").exists)
        async with running(new):
            await until(lambda: set(known) <= set(new.found))
            old.journal.publish((EVENT,))
            await until(lambda: EVENT in new.found)
    assert new.gaps == 0


async def test_a_sibling_that_knows_long_prefixes_gives_them_in_messages_of_a_bounded_size(tmp_path: Path) -> None:
    known = [PrefixLearned(POOL, EndpointId("e"), tuple(range(20_000)), number) for number in range(250)]
    old, new = Picker(tmp_path, 0, known), Picker(tmp_path, 1)
    async with running(old):
        await until((tmp_path / "journal-0.sock").exists)
        found = await new.journal.snapshot(POOL)
    assert (found.lacks, len(found.events)) == ("", 250)


async def test_what_is_published_is_known_within_milliseconds(tmp_path: Path) -> None:
    a, b = Picker(tmp_path, 0), Picker(tmp_path, 1)
    async with running(a, b):
        await until((tmp_path / "journal-0.sock").exists)
        for number in range(100):
            a.journal.publish((learned(number),))
            await asyncio.sleep(0.005)
        await until(lambda: len(b.found) == 100)
    assert sorted(b.counts.lags)[50] < 1.0


async def test_a_sibling_that_comes_back_as_another_process_is_followed_from_its_start(tmp_path: Path) -> None:
    a, first, second = Picker(tmp_path, 0), Picker(tmp_path, 1), Picker(tmp_path, 1)
    async with running(a):
        for number, worker in enumerate((first, second)):
            async with running(worker):
                worker.journal.publish((learned(number),))
                await until(lambda: learned(number) in a.found)  # noqa: B023 - awaited here
    assert (len(a.found), a.gaps) == (2, 0)


async def test_a_worker_that_was_away_reads_on_where_it_was(tmp_path: Path) -> None:
    a, b = Picker(tmp_path, 0), Picker(tmp_path, 1)
    async with running(a):
        a.journal.publish((learned(1),))
        found = await b.journal.snapshot(POOL)
        while not found.events:
            found = await b.journal.snapshot(POOL)
        a.journal.publish((learned(2),))
        await until(lambda: a.counts.moved["out"] == 2)
        batches = b.journal.subscribe(POOL, found.position)
        async with asyncio.timeout(20):
            batch = await anext(batches)
        await batches.aclose()  # type: ignore[attr-defined]
    assert (batch.events, batch.has_gap) == ((learned(2),), False)


async def test_what_does_not_fit_is_counted_and_seen_as_a_gap(tmp_path: Path) -> None:
    a, b = Picker(tmp_path, 0), Picker(tmp_path, 1)
    for number in range(30_000):
        a.journal.publish((learned(number),))
    async with running(a, b):
        await until(lambda: learned(29_999) in b.found)
        for number in range(30_000):
            a.journal.publish((learned(30_000 + number),))
        await until(lambda: learned(59_999) in b.found)
    assert a.counts.lost >= 30_000
    assert b.gaps >= 1


async def test_a_sibling_that_hangs_is_named_and_holds_nobody_up(tmp_path: Path) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        writer.close()

    let_go = asyncio.Event()
    hung = await asyncio.start_unix_server(hang, str(tmp_path / "journal-1.sock"))
    worker = Picker(tmp_path, 0, count=3)
    other = Picker(tmp_path, 2, [EVENT], count=3)
    async with running(other):
        await until((tmp_path / "journal-2.sock").exists)
        started = time.monotonic()
        found = await worker.journal.snapshot(POOL)
        let_go.set()
        hung.close()
        await asyncio.sleep(0.1)
    assert EVENT in found.events
    assert found.lacks.startswith("worker 1: ")
    assert time.monotonic() - started < 20


async def test_noise_on_a_socket_costs_its_connection_alone(tmp_path: Path) -> None:
    async def noise(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"h" + b"\xff" * 400)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(noise, str(tmp_path / "journal-1.sock"))
    a, b = Picker(tmp_path, 0, count=3), Picker(tmp_path, 2, count=3)
    async with running(a, b):
        await until((tmp_path / "journal-0.sock").exists)
        for line in (b"\n", b"[]\n", b'{"pool": 1}\n', b'{"pool": "p", "after": -1}\n', b"x" * 100_000, b""):
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "journal-0.sock"))
            writer.write(line)
            writer.close()
        a.journal.publish((EVENT,))
        await until(lambda: EVENT in b.found and b.counts.lost > 0)
    server.close()


async def test_pools_beyond_the_bound_are_dropped_and_counted(tmp_path: Path) -> None:
    worker = Picker(tmp_path, 0)
    for number in range(1500):
        worker.journal.publish((PrefixLearned(PoolId(f"default/{number}"), EndpointId("e"), (1,)),))
    assert worker.counts.lost == 500
