"""Redis as people run it: a user of its own, a password that changes, a master behind a sentinel."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from epp.sharing.redis_client import read_address
from epp.sharing.redis_journal import RedisJournal
from tests.conftest import free_ports
from tests.integration.epp.sharing.replicas import EVENT, NOTHING_KNOWN, Replica, command, connected, running, until

pytestmark = pytest.mark.redis

# What a user of the pickers' own may do, and no more.
RIGHTS = ("on", ">first", "~pointsman:*", "+@stream", "+@read", "+expire", "+time", "+ping", "+client")


async def test_a_user_of_its_own_needs_few_rights(redis_server: Any) -> None:
    await command(redis_server.url, "ACL", "SETUSER", "picker", *RIGHTS)
    url = redis_server.url.replace("redis://", "redis://picker:first@")
    a, b = Replica(url, "a"), Replica(url, "b")
    async with running(a, b):
        await connected(a, b)
        a.journal.publish((EVENT,))
        await until(lambda: EVENT in b.received_events)
    assert a.counts.changes == b.counts.changes == []


async def test_a_password_that_changes_is_read_from_its_file_for_the_next_connection(
    redis_server: Any, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("first")
    await command(redis_server.url, "ACL", "SETUSER", "picker", *RIGHTS)
    address = read_address(redis_server.url.replace("redis://", "redis://picker@"))
    a, b = Replica(redis_server.url, "a"), Replica(redis_server.url, "b")
    a.journal = RedisJournal(address, "a", a.counts, NOTHING_KNOWN, file.read_text)
    async with running(a, b):
        await connected(a, b)
        await command(redis_server.url, "ACL", "SETUSER", "picker", "resetpass", ">second")
        file.write_text("second")
        await command(redis_server.url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        a.journal.publish((EVENT,))
        await until(lambda: EVENT in b.received_events)


@asynccontextmanager
async def sentinel(folder: Path, master: int) -> AsyncIterator[int]:
    (port,) = free_ports(1)
    settings = folder / "sentinel.conf"
    settings.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n")
    process = subprocess.Popen(
        ["redis-server", str(settings), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


async def test_the_master_is_found_by_a_sentinel(redis_server: Any, tmp_path: Path) -> None:
    async with sentinel(tmp_path, redis_server.port) as port:
        url = f"redis+sentinel://127.0.0.1:{port}/main/0"
        a, b = Replica(url, "a"), Replica(url, "b")
        async with running(a, b):
            await connected(a, b)
            a.journal.publish((EVENT,))
            await until(lambda: EVENT in b.received_events)
