"""What one replica knows, another gets from it through a real Redis: at its start, and after a loss."""

import asyncio
import time
from typing import Any

import pytest

from epp.domain import EndpointId, PrefixesHeld, PrefixLearned
from epp.sharing.stream_keys import snapshot_of, stream_of
from tests.integration.epp.sharing.replicas import EVENT, POOL, Replica, command, connected, running, until

pytestmark = pytest.mark.redis

HELD = PrefixesHeld(POOL, EndpointId("e"), tuple((number).to_bytes(8, "little") * 4 for number in range(1, 200)))


async def test_a_replica_that_starts_gets_what_one_that_lives_knows(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    a.known = [HELD] * 300  # several messages
    async with running(a):
        a.journal.publish((EVENT,))
        await until(lambda: a.counts.moved["out"] == 1)
        async with running(b):
            await until(lambda: len(b.received_events) == 300)
            a.journal.publish((EVENT,))
            await until(lambda: b.received_events[-1] == EVENT)
    assert b.received_events == [*a.known, EVENT]


async def test_of_several_replicas_one_answers(redis_server: Any) -> None:
    made = [Replica(redis_server.url, name) for name in "abc"]
    async with running(*made):
        await connected(*made)
        for replica in made:
            replica.known = [HELD]
        late = Replica(redis_server.url, "d")
        async with running(late):
            await until(lambda: HELD in late.received_events)
            await asyncio.sleep(0.2)
    assert late.received_events.count(HELD) == 1


async def test_a_replica_that_could_not_write_all_offers_what_it_knows(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        a.known = [HELD]
        redis_server.stop()
        for number in range(10_001):
            a.journal.publish((PrefixLearned(POOL, EndpointId("e"), (number,)),))
        assert a.counts.lost > 0
        await asyncio.sleep(0.2)
        await redis_server.start()
        await until(lambda: HELD in b.received_events)


async def test_one_that_seems_to_live_and_does_not_answer_costs_a_moment(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a):
        a.journal.publish((EVENT,))
        await until(lambda: a.counts.moved["out"] == 1)
    started = time.monotonic()
    async with running(b):
        await until(lambda: EVENT in b.received_events)
    assert time.monotonic() - started < 10


async def test_a_hostile_snapshot_is_bounded_and_counted(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        await command(redis_server.url, "XADD", snapshot_of(POOL, "bad"), "*", "e", b"H\xff\xff\xff\xff", "end", "1")
        await command(redis_server.url, "XADD", stream_of(POOL), "*", "r", "z", "o", "bad")
        await command(redis_server.url, "XADD", stream_of(POOL), "*", "r", "z", "o", "nowhere")
        for _ in range(50):
            await command(redis_server.url, "XADD", stream_of(POOL), "*", "r", "z", "w", b"\xff" * 100)
        a.journal.publish((EVENT,))
        await until(lambda: EVENT in b.received_events)
        await until(lambda: b.counts.lost > 0)
