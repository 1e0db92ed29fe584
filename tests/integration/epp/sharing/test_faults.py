"""Faults of Redis, and of the way to it, while two pickers are at work: no request fails or waits, and once it is over
each knows again what the other has in flight."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from epp.config.defaults import DEFAULT_TEXT
from epp.sharing.redis_client import FAILURES, connect, read_address
from epp.sharing.stream_keys import snapshot_of, stream_of
from tests.conftest import free_ports
from tests.integration.epp.conftest import RedisServer
from tests.integration.epp.sharing.faults import (
    at_work,
    know_each_other,
    line,
    redis,
    until_they_know_each_other,
    went_well,
)
from tests.integration.epp.sharing.pickers import SharingPicker, sharing
from tests.integration.epp.sharing.replicas import command, until
from tests.unit.epp.admission.queues import POOL

pytestmark = pytest.mark.redis

STREAM = stream_of(POOL)
FAULT_SECONDS = 1.2


def pickers(url: str, other_url: str | None = None, ahead: float = 0.0) -> tuple[SharingPicker, SharingPicker]:
    one = SharingPicker(url, "a", DEFAULT_TEXT)
    return one, SharingPicker(other_url or url, "b", DEFAULT_TEXT, ahead=ahead)


async def killed(server: RedisServer) -> None:
    server.stop()
    await asyncio.sleep(FAULT_SECONDS)
    await server.start()  # empty


async def paused(server: RedisServer) -> None:
    with server.hanging():
        await asyncio.sleep(2 * FAULT_SECONDS)  # longer than a call may take


async def full(server: RedisServer) -> None:
    await command(server.url, "CONFIG", "SET", "maxmemory", "1")
    await asyncio.sleep(FAULT_SECONDS)
    await command(server.url, "CONFIG", "SET", "maxmemory", "0")


async def read_only(server: RedisServer) -> None:
    await command(server.url, "REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(FAULT_SECONDS)
    await command(server.url, "REPLICAOF", "NO", "ONE")


async def flushed(server: RedisServer) -> None:
    for _ in range(3):
        await command(server.url, "FLUSHALL")
        await asyncio.sleep(FAULT_SECONDS / 3)


@pytest.mark.parametrize("fault", [killed, paused, full, read_only, flushed])
async def test_a_redis_that_fails_costs_no_request_and_is_made_up_for(redis_server: RedisServer, fault: Any) -> None:
    one, two = pickers(redis_server.url)
    async with sharing(one, two):
        async with at_work(one, two) as work:
            await asyncio.sleep(0.3)
            await fault(redis_server)
        went_well(work)
        await until_they_know_each_other(one, two)


async def test_one_replica_that_is_cut_off_knows_all_again_soon_after(redis_server: RedisServer) -> None:
    async with line(redis_server.port) as way:
        one, two = pickers(redis_server.url, way.url)
        async with sharing(one, two):
            async with at_work(one, two) as work:
                way.cut()
                await asyncio.sleep(2 * FAULT_SECONDS)
                assert not know_each_other(one, two)
            await way.mend()
            await until_they_know_each_other(one, two)
            went_well(work)


async def test_clocks_that_differ_by_seconds_change_nothing(redis_server: RedisServer) -> None:
    one, two = pickers(redis_server.url, ahead=5.0)
    async with sharing(one, two):
        async with at_work(one, two) as work:
            await asyncio.sleep(FAULT_SECONDS)
        await until_they_know_each_other(one, two)
        went_well(work)


async def test_a_hostile_writer_costs_no_request_and_no_knowledge(redis_server: RedisServer) -> None:
    one, two = pickers(redis_server.url)
    noise = [os.urandom(size) for size in (1, 5, 40, 4000)]
    sized = [len(each).to_bytes(4, "little") + each for each in noise]
    frames = [kind + b"\xff\xff\xff\xff" + each for kind in (b"L", b"p", b"h", b"H", b"m", b"a") for each in noise]
    frames += [kind + each for kind in (b"L", b"b", b"v", b"F", b"m") for each in sized]
    frames += [b"p" * 2**21]
    hostile: Any = connect(read_address(redis_server.url))
    async with sharing(one, two):
        async with at_work(one, two) as work:
            for frame in frames:
                await hostile.xadd(STREAM, {"r": "z", "e": frame})
                await hostile.xadd(STREAM, {"r": b"\xff", "w": frame[:200], "o": frame[:50]})
            await hostile.set(snapshot_of(POOL, "x"), "1")
            await hostile.xadd(STREAM, {"r": "z", "o": "x"})
            await hostile.aclose()
            await asyncio.sleep(0.3)
        await until_they_know_each_other(one, two)
        await until(lambda: one.counts.lost >= len(noise) and two.counts.lost >= len(noise))
        went_well(work)


async def test_a_failover_by_a_sentinel_costs_no_request(tmp_path: Path) -> None:
    master, replica, port = free_ports(3)
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n"
    )
    plain = ("--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0")
    with ExitStack() as running:
        first = running.enter_context(redis(tmp_path / "1", "--port", str(master), *plain))
        replication = ("--replicaof", "127.0.0.1", str(master))
        running.enter_context(redis(tmp_path / "2", "--port", str(replica), *plain, *replication))
        await replicated(f"redis://127.0.0.1:{replica}")
        running.enter_context(redis(tmp_path / "3", str(settings), "--sentinel"))
        await observed(port)
        one, two = pickers(f"redis+sentinel://127.0.0.1:{port}/main/0")
        async with sharing(one, two):
            async with at_work(one, two) as work:
                await asyncio.sleep(0.3)
                first.kill()
                await until(lambda: False in one.counts.works() and False in two.counts.works(), seconds=40)
                await until(lambda: one.counts.works() == two.counts.works() == {True}, seconds=40)
            await until_they_know_each_other(one, two)
            went_well(work)


async def replicated(url: str) -> None:
    """A replica has what its master has."""
    client = connect(read_address(url))
    try:
        async with asyncio.timeout(40):
            while not await is_replicated(client):
                await asyncio.sleep(0.1)
    finally:
        await client.aclose()


async def is_replicated(client: Any) -> bool:
    try:
        found = await client.info("replication")
    except FAILURES:
        return False
    return bool(found.get("master_link_status") == "up")


async def observed(port: int) -> None:
    """A sentinel knows the replica of its master."""
    client: Any = connect(read_address(f"redis://127.0.0.1:{port}"))
    try:
        async with asyncio.timeout(40):
            while not await has_replicas(client):
                await asyncio.sleep(0.1)
    finally:
        await client.aclose()


async def has_replicas(client: Any) -> bool:
    try:
        return bool(await client.execute_command("SENTINEL", "SLAVES", "main"))
    except FAILURES:
        return False
