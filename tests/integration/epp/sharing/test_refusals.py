"""A Redis that answers and refuses: a line in the log for each change of state, and sharing again once it works."""

import asyncio
from typing import Any

import pytest
import structlog

from epp.sharing.stream_keys import stream_of
from tests.integration.epp.sharing.replicas import EVENT, POOL, Replica, command, connected, running, until

pytestmark = pytest.mark.redis

STREAM = stream_of(POOL)
REPLICAS_NEEDED = ("CONFIG", "SET", "min-replicas-to-write")
REFUSALS = {
    "another type": (("SET", STREAM, "1"), ("DEL", STREAM)),
    "out of memory": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "too few replicas": ((*REPLICAS_NEEDED, "1"), (*REPLICAS_NEEDED, "0")),
    "read-only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_redis_that_refuses_is_a_line_for_each_change_of_state(redis_server: Any, kind: str) -> None:
    begin, end = REFUSALS[kind]
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    async with running(a, b):
        await connected(a, b)
        with structlog.testing.capture_logs() as lines:
            await command(redis_server.url, *begin)
            for _ in range(20):
                a.journal.publish((EVENT,))
                await asyncio.sleep(0.05)
            await command(redis_server.url, *end)
            await until(lambda: EVENT in b.received_events)
            await until(lambda: any(line["event"] == "sharing again" for line in lines))
    changes = [(line["direction"], line["event"]) for line in lines]
    assert changes.count(("write", "sharing fails; picking goes on without it")) == 1
    assert changes.count(("write", "sharing again")) == 1
    assert len(changes) <= 6  # of two replicas, each in two directions that may differ
