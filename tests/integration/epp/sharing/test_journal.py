"""What every Journal promises, whatever carries it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from epp.domain import EndpointId, PoolId, PrefixLearned, SharedEvent
from epp.sharing.journal import BEGINNING, Journal, NoJournal, Position
from epp.sharing.local_journal import LocalJournal
from epp.sharing.redis_client import read_address
from epp.sharing.redis_journal import RedisJournal
from gateway.service.worker import Worker
from tests.integration.epp.sharing.replicas import EVENT, NOTHING_KNOWN, POOL, Counts, until

Make = Callable[[str], Journal]


@pytest.fixture(params=["none", "local", pytest.param("redis", marks=pytest.mark.redis)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A journal for each name; those of one test carry to each other, where they carry at all."""
    if request.param == "none":
        return lambda _: NoJournal()
    if request.param == "local":
        return lambda name: LocalJournal(Worker(tmp_path, "abc".index(name), 3), Counts(), NOTHING_KNOWN)
    address = read_address(request.getfixturevalue("redis_server").url)
    return lambda name: RedisJournal(address, name, Counts(), NOTHING_KNOWN)


@asynccontextmanager
async def following(journal: Journal, pool: PoolId = POOL, start: Position = BEGINNING) -> AsyncIterator[Sequence[Any]]:
    found: list[SharedEvent] = []

    async def follow() -> None:
        async for batch in journal.subscribe(pool, start):
            found.extend(batch.events)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journal.run()), group.create_task(follow())]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()


def carries(journal: Journal) -> bool:
    return not isinstance(journal, NoJournal)


async def test_publishing_never_waits_whether_it_is_carried_or_not(make: Make) -> None:
    journal = make("a")
    started = time.monotonic()
    for number in range(20_000):
        journal.publish((PrefixLearned(POOL, EndpointId("e"), (number,), 1),))
    assert time.monotonic() - started < 5
    async with following(journal):
        journal.publish([EVENT, EVENT])


async def test_others_get_what_is_published_and_its_publisher_does_not(make: Make) -> None:
    a, b, c = make("a"), make("b"), make("c")
    async with following(a) as at_a, following(b) as at_b, following(c) as at_c:
        a.publish((EVENT,))
        if carries(a):
            await until(lambda: EVENT in at_b and EVENT in at_c)
        await asyncio.sleep(0.05)
    assert list(at_a) == []
    assert set(at_b) == set(at_c) == ({EVENT} if carries(a) else set())


async def test_a_snapshot_is_what_was_published_and_says_from_where_to_go_on(make: Make) -> None:
    a, b = make("a"), make("b")
    later = PrefixLearned(POOL, EndpointId("e"), (9,), 8)
    async with following(a):
        a.publish((EVENT,))
        found = await b.snapshot(POOL)
        while carries(a) and not found.events:
            found = await b.snapshot(POOL)
        async with following(b, start=found.position) as at_b:
            a.publish((later,))
            if carries(a):
                await until(lambda: bool(at_b))
    assert (found.events, found.lacks) == ((EVENT,) if carries(a) else (), "")
    assert list(at_b) == ([later] if carries(a) else [])


async def test_a_pool_of_which_nothing_is_known_lacks_nothing(make: Make) -> None:
    a = make("a")
    async with following(a):
        found = await a.snapshot(PoolId("default/new"))
    assert (found.events, found.lacks) == ((), "")


async def test_it_ends_when_it_is_cancelled(make: Make) -> None:
    async with asyncio.timeout(20), following(make("a")):
        await asyncio.sleep(0.05)
