"""Replicas share through a real Redis."""

import asyncio
import time
from typing import Any

import pytest

from epp.domain import EndpointId, Feedback, FeedbackForwarded, PickId, PickPlaced, PickSettled, PoolId, PrefixLearned
from epp.sharing import codec
from epp.sharing.redis_client import connect, read_address
from epp.sharing.stream_keys import EARLIER, stream_of
from tests.integration.epp.sharing.replicas import EVENT, POOL, Replica, command, connected, running, until

pytestmark = pytest.mark.redis


async def test_what_one_replica_learns_every_other_knows_and_it_does_not_hear_itself(redis_server: Any) -> None:
    a, b, c = (Replica(redis_server.url, name) for name in "abc")
    async with running(a, b, c):
        await connected(a, b, c)
        a.journal.publish((EVENT,))
        await until(lambda: bool(b.received_events and c.received_events))
        assert b.received_events == c.received_events == [EVENT]
        assert a.received_events == []


async def test_the_others_know_within_a_tenth_of_a_second(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        delays: list[float] = []
        for number in range(20):
            a.journal.publish((PrefixLearned(POOL, EndpointId("e"), (number,)),))
            delays.append(await until(lambda: len(b.received_events) > len(delays)))
    assert sorted(delays)[10] < 0.1


async def test_forwarded_feedback_arrives_whole(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    feedback = Feedback(
        PickId("b-7"), PoolId("default/a"), is_final=True, served=EndpointId("[::1]:80"), status=200, flags=("x",),
        attempts=2, ttft_seconds=0.25, cached_tokens=5,
    )  # fmt: skip
    async with running(a, b):
        await connected(a, b)
        a.journal.publish((FeedbackForwarded(feedback),))
        await until(lambda: bool(b.received_events))
    assert b.received_events == [FeedbackForwarded(feedback)]


async def test_a_replica_that_starts_while_no_other_lives_hears_what_was_shared_before(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a):
        a.journal.publish((EVENT,))
        await until(lambda: a.counts.moved["out"] == 1)
    async with running(b):
        await until(lambda: b.received_events == [EVENT])


async def test_redis_gone_costs_knowledge_only_and_its_return_brings_sharing_back(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        redis_server.stop()
        for number in range(20_000):  # twice what the outbox holds; recording never waits
            a.journal.publish((PrefixLearned(POOL, EndpointId("e"), (number,)),))
        assert a.counts.lost == 10_000
        await asyncio.sleep(0.2)
        await redis_server.start()  # empty: the stream begins anew
        await until(lambda: b.received_events[-1:] == [PrefixLearned(POOL, EndpointId("e"), (19_999,))])
        a.journal.publish((EVENT,))
        await until(lambda: b.received_events[-1] == EVENT)
        assert b.received_events[-1] == EVENT


async def test_without_redis_at_all_nothing_fails() -> None:
    a = Replica("redis://127.0.0.1:1/0", "a")
    async with running(a):
        a.journal.publish((EVENT,))
        await asyncio.sleep(0.3)
    assert a.received_events == []


async def test_a_message_of_another_version_is_skipped_and_counted(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        await command(redis_server.url, "XADD", stream_of(POOL), "*", "r", "z", "e", "\x01\x02")
        await command(redis_server.url, "XADD", stream_of(POOL), "*", "other", "fields")
        a.journal.publish((EVENT,))
        await until(lambda: bool(b.received_events))
        assert b.received_events == [EVENT]
        assert b.counts.lost == 1


async def test_who_follows_a_pool_reads_nothing_of_others(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b", PoolId("default/b"))
    async with running(a, b):
        a.journal.publish((EVENT, PrefixLearned(b.pool, EndpointId("e"), (1,), 1)))
        await until(lambda: bool(b.received_events))
        await until(lambda: a.counts.moved["out"] == 2)
    assert set(b.received_events) == {PrefixLearned(b.pool, EndpointId("e"), (1,), 1)}


async def test_what_replicas_of_the_release_before_write_is_read(redis_server: Any) -> None:
    new = Replica(redis_server.url, "new", EARLIER)
    frames = bytes.fromhex("50150000000300702f61060065313a383030070000000000000045080000000300702f6101007a")
    async with running(new):
        await command(redis_server.url, "XADD", stream_of(EARLIER), "*", "r", "old", "e", frames)
        await until(lambda: len(new.received_events) == 2)
    assert new.received_events == [
        PrefixLearned(PoolId("p/a"), EndpointId("e1:800"), (7,)),
        PickSettled(PoolId("p/a"), PickId("z")),
    ]


async def test_while_a_replica_of_the_release_before_writes_it_can_read_what_this_one_does(redis_server: Any) -> None:
    new, also_new = Replica(redis_server.url, "new", EARLIER), Replica(redis_server.url, "also", EARLIER)
    client = connect(read_address(redis_server.url))
    key = stream_of(EARLIER)

    async def frames() -> list[bytes]:
        found: Any = await client.xrange(key)
        return [fields[b"e"] for _, fields in found if fields[b"r"] != b"old"]

    try:
        async with running(new, also_new):
            new.journal.publish((EVENT,))
            await until(lambda: new.counts.moved["out"] == 1)
            assert await frames() == []  # nobody would read it

            await command(
                redis_server.url, "XADD", key, "*", "r", "old", "e", bytes.fromhex("45080000000300702f6101007a")
            )
            await until(lambda: bool(new.received_events))
            new.journal.publish((EVENT, PickSettled(POOL, PickId("z"))))
            await until(lambda: new.counts.moved["out"] >= 4)
            assert b"".join(await frames()) == codec.encode_earlier(EVENT)
            await asyncio.sleep(0.2)
            assert EVENT not in also_new.received_events  # it has it from the pool's stream
    finally:
        await client.aclose()


async def test_after_a_loss_what_is_held_is_written_again(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    a.restated = [PickPlaced(POOL, PickId("a-1"), ())]
    async with running(a, b):
        await connected(a, b)
        assert a.restated[0] not in b.received_events
        redis_server.stop()
        await asyncio.sleep(0.2)
        await redis_server.start()  # empty
        await until(lambda: a.gaps > 0)
        a.journal.publish((EVENT,))
        await until(lambda: a.restated[0] in b.received_events)


async def test_a_stream_that_is_emptied_and_goes_on_at_once_is_a_gap(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")

    async def keep_writing() -> None:
        while True:
            a.journal.publish((EVENT,))
            await asyncio.sleep(0.01)

    async with running(a, b):
        await connected(a, b)
        writing = asyncio.create_task(keep_writing())
        await asyncio.sleep(1.5)
        assert b.gaps == 0
        await command(redis_server.url, "FLUSHALL")
        await until(lambda: b.gaps == 1)
        await asyncio.sleep(1.5)
        assert b.gaps == 1
        writing.cancel()


async def test_a_redis_that_hangs_delays_nobody_and_loses_nothing_that_fits(redis_server: Any) -> None:
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        with redis_server.hanging():
            started = time.monotonic()
            for number in range(5_000):
                a.journal.publish((PrefixLearned(POOL, EndpointId("e"), (number,)),))
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
