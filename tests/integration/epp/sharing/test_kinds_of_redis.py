"""Redis as people run it: behind TLS that asks for certificates, and as a Cluster."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from epp.domain import PoolId, PrefixLearned
from epp.sharing.redis_client import FAILURES, connect, read_address
from tests.certificates import self_signed
from tests.conftest import free_ports
from tests.integration.epp.sharing.faults import redis
from tests.integration.epp.sharing.replicas import EVENT, Replica, connected, running, until

pytestmark = pytest.mark.redis

OTHER = PoolId("default/c")
NODES = 3
SLOTS = 16_384


async def until_answers(url: str) -> None:
    client: Any = connect(read_address(url))
    try:
        async with asyncio.timeout(40):
            while not await answers(client):
                await asyncio.sleep(0.05)
    finally:
        await client.aclose()


async def answers(client: Any) -> bool:
    try:
        return bool(await client.ping())
    except FAILURES:
        return False


async def test_tls_with_a_certificate_authority_and_a_certificate_of_the_client(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    certificate, key = self_signed(tmp_path, "localhost")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate))
    options = f"ssl_ca_certs={certificate}&ssl_certfile={certificate}&ssl_keyfile={key}"
    url = f"rediss://localhost:{port}/0?{options}"
    with redis(tmp_path / "1", "--port", "0", "--tls-port", str(port), "--save", "", *files):
        await until_answers(url)
        a, b = Replica(url, "a"), Replica(url, "b")
        stranger = Replica(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}", "c")
        async with running(a, b, stranger):
            await connected(a, b)
            a.journal.publish((EVENT,))
            await until(lambda: EVENT in b.received_events)
            await until(lambda: ("read", False) in stranger.counts.changes)
    assert stranger.received_events == []


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Sequence[int]]:
    """Three nodes with a third of the slots each; their ports."""
    found = free_ports(2 * NODES)
    ports, buses = found[:NODES], found[NODES:]
    with ExitStack() as nodes:
        for port, bus in zip(ports, buses, strict=True):
            own = ("--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus), "--save", "")
            nodes.enter_context(redis(folder / str(port), "--bind", "127.0.0.1", *own))
        clients: list[Any] = []
        for number, port in enumerate(ports):
            await until_answers(f"redis://127.0.0.1:{port}")
            clients.append(connect(read_address(f"redis://127.0.0.1:{port}")))
            first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            await clients[-1].execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, buses[number])
        async with asyncio.timeout(40):
            while not all([await is_whole(client) for client in clients]):
                await asyncio.sleep(0.1)
        for client in clients:
            await client.aclose()
        yield ports


async def is_whole(client: Any) -> bool:
    found = str(await client.execute_command("CLUSTER", "INFO"))
    return "cluster_state:ok" in found and f"cluster_known_nodes:{NODES}" in found


async def test_a_cluster_keeps_each_pool_on_one_node(tmp_path: Path) -> None:
    async with cluster(tmp_path) as ports:
        url = f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"
        a, b, c = Replica(url, "a"), Replica(url, "b"), Replica(url, "c", OTHER)
        a.known = b.known = [EVENT]
        async with running(a, b, c):
            await connected(a, b)
            a.journal.publish((EVENT, PrefixLearned(OTHER, EVENT.endpoint, (1,), 1)))
            await until(lambda: EVENT in b.received_events and bool(c.received_events))
            late = Replica(url, "d")
            async with running(late):  # a snapshot lies on the node of its pool
                await until(lambda: late.received_events[:1] == a.known)
        assert a.counts.changes == b.counts.changes == []
