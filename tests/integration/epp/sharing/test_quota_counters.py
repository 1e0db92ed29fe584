"""Counters of quotas on a real Redis: the same for all replicas, exact, and never waited for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from epp.sharing.quota_counters import RedisCounters
from epp.sharing.redis_client import read_address
from gateway.quotas.counters import Claim, Counts, MemoryCounters, used
from gateway.quotas.windows import CALENDAR_MONTH, Window
from tests.integration.epp.conftest import RedisServer

pytestmark = pytest.mark.redis
NOON = 1_764_331_200.0
MINUTE = Window(60.0)


def claim(key: str = "k", amount: int = 1, limit: int | None = 5, window: Window = MINUTE) -> Claim:
    return Claim(key, key, window, amount, limit)


class Losses:
    def __init__(self) -> None:
        self.amount = 0

    def lost(self, amount: int) -> None:
        self.amount += amount


@asynccontextmanager
async def replicas(server: RedisServer, count: int) -> AsyncIterator[Sequence[RedisCounters]]:
    made = [RedisCounters(read_address(server.url), Losses()) for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in made]
        for each in made:  # on a busy machine the first connection may come too late
            async with asyncio.timeout(20):
                while await take(each, claim("none", 0)) is None:
                    await asyncio.sleep(0.05)
        yield made
        for task in tasks:
            task.cancel()


async def take(counters: RedisCounters | MemoryCounters, *claims: Claim, now: float = NOON) -> Sequence[Counts] | None:
    """What was there before, within a bound."""
    answered: asyncio.Future[Sequence[Counts] | None] = asyncio.get_running_loop().create_future()
    counters.take(claims, now, answered.set_result)
    async with asyncio.timeout(20):
        return await answered


async def used_of(counters: RedisCounters | MemoryCounters, key: str = "k", now: float = NOON) -> int:
    found = await take(counters, claim(key, 0), now=now)
    assert found is not None
    return used(found[0])


async def until_used(counters: RedisCounters, amount: int, key: str = "k", window: Window = MINUTE) -> None:
    async with asyncio.timeout(20):
        while (found := await take(counters, claim(key, 0, window=window))) is None or used(found[0]) != amount:
            await asyncio.sleep(0.05)


async def test_many_at_once_on_three_replicas_take_exactly_the_limit(redis_server: RedisServer) -> None:
    async with replicas(redis_server, 3) as made:
        found = await asyncio.gather(*(take(made[at % 3], claim(limit=50)) for at in range(300)))

        assert sum(counts is not None and used(counts[0]) < 50 for counts in found) == 50
        assert await used_of(made[0]) == 50


async def test_a_request_takes_from_all_of_its_counters_or_from_none(redis_server: RedisServer) -> None:
    async with replicas(redis_server, 1) as (counters,):
        for _ in range(4):
            await take(counters, claim("narrow", limit=2), claim("wide", limit=100))

        assert (await used_of(counters, "narrow"), await used_of(counters, "wide")) == (2, 2)


async def test_what_redis_counts_is_what_memory_counts(redis_server: RedisServer) -> None:
    steps = [(at * 7.3, "abc"[at % 3], at % 4) for at in range(60)]
    memory = MemoryCounters()
    async with replicas(redis_server, 1) as (counters,):
        for after, key, amount in steps:
            asked = (claim(key, amount, 9), claim("all", amount, None, CALENDAR_MONTH))
            assert await take(counters, *asked, now=NOON + after) == await take(memory, *asked, now=NOON + after)


async def test_what_one_replica_adds_the_next_request_anywhere_sees(redis_server: RedisServer) -> None:
    async with replicas(redis_server, 2) as (one, two):
        one.add([claim(amount=30)], NOON)
        assert await used_of(one) == 30
        await until_used(two, 30)


async def test_redis_gone_lets_nobody_wait_and_loses_no_charge(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with replicas(redis_server, 1) as (counters,):
        await used_of(counters)
        capsys.readouterr()
        redis_server.stop()
        assert await take(counters, claim()) is None
        for _ in range(1000):
            counters.add([claim(amount=3)], NOON)
            assert await take(counters, claim()) is None

        await redis_server.start()
        await until_used(counters, 3000)
    said = capsys.readouterr()
    assert (said.out + said.err).count("cannot be counted in Redis") == 1
    assert (said.out + said.err).count("counted in Redis again") == 1


async def test_a_redis_that_hangs_delays_a_request_by_a_moment_and_charges_once(redis_server: RedisServer) -> None:
    async with replicas(redis_server, 1) as (counters,):
        await used_of(counters)
        with redis_server.hanging():
            counters.add([claim(amount=7)], NOON)
            assert await take(counters, claim(amount=0)) is None
            await asyncio.sleep(1.5)  # it is tried again meanwhile: all of those reach Redis when it goes on

        await until_used(counters, 7)
        counters.add([claim(amount=1)], NOON)
        await until_used(counters, 8)


async def test_counters_leave_when_their_window_is_over(redis_server: RedisServer) -> None:
    from redis.asyncio import Redis

    async with replicas(redis_server, 1) as (counters,), Redis.from_url(redis_server.url) as redis:
        await take(counters, claim("short", window=Window(1.0)), claim("month", window=CALENDAR_MONTH))

        lives = [await redis.ttl(f"pointsman:quota:1:{key}") for key in ("short", "month")]
        assert lives[0] in (1, 2)
        assert 31 * 86_400 < lives[1] <= 32 * 86_400 + 1
