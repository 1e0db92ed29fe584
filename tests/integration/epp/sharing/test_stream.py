"""Replicas share through a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from epp.domain import EndpointId, Feedback, FeedbackForwarded, PickId, PoolId, PrefixLearned, SharedEvent
from epp.sharing.stream import SharedStream

pytestmark = pytest.mark.redis

EVENT = PrefixLearned(PoolId("default/a"), EndpointId("10.0.0.1:8000"), (1, 2, 2**64 - 1))


class Counts:
    def __init__(self) -> None:
        self.moved = {"in": 0, "out": 0}
        self.lost = 0

    def shared(self, direction: str, events: int) -> None:
        self.moved[direction] += events

    def dropped(self, events: int) -> None:
        self.lost += events


class Replica:
    def __init__(self, url: str, name: str) -> None:
        self.received_events: list[SharedEvent] = []
        self.counts = Counts()
        self.stream = SharedStream(url, name, self.received_events.append, self.counts)


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(replica.stream.run()) for replica in replicas]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen"
        await asyncio.sleep(0.002)
    return time.monotonic() - started


async def connected(*replicas: Replica) -> None:
    """Every replica has heard every other once."""
    for replica in replicas:
        hello = PrefixLearned(PoolId("hello"), EndpointId("x"), ())
        replica.stream.record(hello)
    await until(lambda: all(len(replica.received_events) >= len(replicas) - 1 for replica in replicas))
    for replica in replicas:
        replica.received_events.clear()


async def test_what_one_replica_learns_every_other_knows_and_it_does_not_hear_itself(redis_server) -> None:
    a, b, c = (Replica(redis_server.url, name) for name in "abc")
    async with running(a, b, c):
        await connected(a, b, c)
        a.stream.record(EVENT)
        await until(lambda: bool(b.received_events and c.received_events))
        assert b.received_events == c.received_events == [EVENT]
        assert a.received_events == []


async def test_the_others_know_within_a_tenth_of_a_second(redis_server) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        delays: list[float] = []
        for number in range(20):
            a.stream.record(PrefixLearned(PoolId("p"), EndpointId("e"), (number,)))
            delays.append(await until(lambda: len(b.received_events) > len(delays)))
    assert sorted(delays)[10] < 0.1


async def test_forwarded_feedback_arrives_whole(redis_server) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    feedback = Feedback(
        PickId("b-7"), PoolId("default/a"), is_final=True, served=EndpointId("[::1]:80"), status=200, flags=("x",),
        attempts=2, ttft_seconds=0.25, cached_tokens=5,
    )  # fmt: skip
    async with running(a, b):
        await connected(a, b)
        a.stream.record(FeedbackForwarded(feedback))
        await until(lambda: bool(b.received_events))
    assert b.received_events == [FeedbackForwarded(feedback)]


async def test_a_replica_that_starts_later_hears_what_was_shared_just_before(redis_server) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a):
        a.stream.record(EVENT)
        await until(lambda: a.counts.moved["out"] == 1)
        async with running(b):
            await until(lambda: b.received_events == [EVENT])
            assert b.received_events == [EVENT]


async def test_redis_gone_costs_knowledge_only_and_its_return_brings_sharing_back(redis_server) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        redis_server.stop()
        for number in range(20_000):  # twice what the outbox holds; recording never waits
            a.stream.record(PrefixLearned(PoolId("p"), EndpointId("e"), (number,)))
        assert a.counts.lost == 10_000
        await asyncio.sleep(0.2)
        await redis_server.start()  # empty: the stream begins anew
        await until(lambda: b.received_events[-1:] == [PrefixLearned(PoolId("p"), EndpointId("e"), (19_999,))])
        a.stream.record(EVENT)
        await until(lambda: b.received_events[-1] == EVENT)
        assert b.received_events[-1] == EVENT


async def test_without_redis_at_all_nothing_fails() -> None:
    a = Replica("redis://127.0.0.1:1/0", "a")
    async with running(a):
        a.stream.record(EVENT)
        await asyncio.sleep(0.3)
    assert a.received_events == []


async def test_a_message_of_another_version_is_skipped(redis_server) -> None:
    from redis.asyncio import Redis

    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        async with Redis.from_url(redis_server.url) as redis:
            await redis.xadd("pointsman:shared:1", {b"r": b"z", b"e": b"\xff\xff"})
            await redis.xadd("pointsman:shared:1", {b"other": b"fields"})
        a.stream.record(EVENT)
        await until(lambda: bool(b.received_events))
        assert b.received_events == [EVENT]


async def test_a_redis_that_hangs_delays_nobody_and_loses_nothing_that_fits(redis_server) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        with redis_server.hanging():
            started = time.monotonic()
            for number in range(5_000):
                a.stream.record(PrefixLearned(PoolId("p"), EndpointId("e"), (number,)))
                if number % 1000 == 0:
                    await asyncio.sleep(0)
            assert time.monotonic() - started < 5  # the time of encoding, not that of a network
            await asyncio.sleep(0.2)
            assert b.received_events == []
        await until(
            lambda: len({event.blocks for event in b.received_events if isinstance(event, PrefixLearned)}) == 5_000,
            seconds=20,
        )
    assert a.counts.lost == 0
