"""The bill on SQLite and on a real Redis: kept once, over restarts and failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from epp.billing.biller import Biller, Billing
from epp.billing.sqlite import SqliteBill
from epp.billing.totals import Line, Totals
from epp.picking.observer import NullObserver
from epp.sharing.redis_client import read_address
from gateway.service.metrics import Registry

NOON = 1_764_331_200.0
LINE = Line("2025-11-28", "acme", "m")
ONE = Totals(1, 0, 10, 5, 7, 0, 3_000_000)


@asynccontextmanager
async def billing(path: Path | None = None, url: str | None = None, days: int = 400) -> AsyncIterator[Biller]:
    biller = Biller(Billing(path, days), NullObserver(), Registry(), lambda: NOON)
    biller.open(None if url is None else read_address(url), None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(biller.run())
        await asyncio.sleep(0)
        yield biller
        task.cancel()


async def read(biller: Biller) -> dict[Line, Totals]:
    return dict(await biller.read("2025-01-01", "2025-12-31"))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.05)


def test_a_batch_that_comes_again_counts_once_and_old_days_leave(tmp_path: Path) -> None:
    bill = SqliteBill(tmp_path / "bill.db")
    for batch in ("a", "a", "b", "b"):
        bill.add(batch, {LINE: ONE, LINE._replace(day="2024-01-01"): ONE}, "2024-06-01")

    assert bill.read("2000-01-01", "2100-01-01") == [(LINE, ONE.plus(ONE))]
    bill.close()


async def test_a_file_keeps_what_was_used_over_a_restart(tmp_path: Path) -> None:
    for count in (1, 2):
        async with billing(tmp_path / "bill.db") as biller:
            biller.billed.sums.add(LINE, ONE)
        async with billing(tmp_path / "bill.db") as biller:
            assert (await read(biller))[LINE].requests == count


async def test_without_a_file_the_process_keeps_it() -> None:
    async with billing() as biller:
        biller.billed.sums.add(LINE, ONE)
        biller.billed.sums.add(LINE, ONE)
        found = await asyncio.gather(*(read(biller) for _ in range(5)))

    assert found == [{LINE: ONE.plus(ONE)}] * 5


@pytest.mark.redis
async def test_replicas_write_one_bill(redis_server) -> None:
    async with billing(url=redis_server.url) as one, billing(url=redis_server.url) as two:
        for biller in (one, two):
            biller.billed.sums.add(LINE, ONE)
            biller.billed.sums.add(LINE._replace(tenant='odd "name", {}'), ONE)
        await read(one)
        assert await read(two) == {LINE: ONE.plus(ONE), LINE._replace(tenant='odd "name", {}'): ONE.plus(ONE)}


@pytest.mark.redis
async def test_redis_gone_costs_nothing_of_the_bill(redis_server, capsys: pytest.CaptureFixture[str]) -> None:
    async with billing(url=redis_server.url) as biller:
        await read(biller)
        with redis_server.hanging():
            biller.billed.sums.add(LINE, ONE)
            await until(lambda: biller._fails)
        biller.billed.sums.add(LINE, ONE)
        await until(lambda: not biller._fails and biller._batch is None)
        assert await read(biller) == {LINE: ONE.plus(ONE)}
    assert capsys.readouterr().out.count("the bill cannot be written") == 1


@pytest.mark.redis
async def test_days_leave_redis_by_themselves(redis_server) -> None:
    from redis.asyncio import Redis

    async with billing(url=redis_server.url, days=3) as biller, Redis.from_url(redis_server.url) as redis:
        biller.billed.sums.add(LINE, ONE)
        await read(biller)

        assert 2.9 * 86_400 < await redis.ttl("pointsman:bill:1:2025-11-28") <= 3 * 86_400
