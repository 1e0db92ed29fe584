"""Peers that are no proxies, on real sockets: the server lives, keeps little, and serves the others."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc.aio
import pytest

from gateway import protos
from gateway.rpc.health import Health
from gateway.rpc.server import Serving, serving
from tests.integration.gateway.extproc.talk import Server, channel, picked, stream
from tests.properties.gateway.rpc.test_noise import damaged, lively_bytes

POOL = protos.load_pool()
Request = protos.message_class(POOL, "grpc.health.v1.HealthCheckRequest")
Response = protos.message_class(POOL, "grpc.health.v1.HealthCheckResponse")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
CONNECTIONS = 300


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream_id) + payload


FLOODS = {
    "PING": frame(6, 0, 0, bytes(8)),
    "SETTINGS": frame(4, 0, 0),
    "empty DATA": frame(0, 0, 1),
    "RST_STREAM": frame(3, 0, 1, bytes(4)),
    "CONTINUATION": frame(9, 0, 1, b"\x86"),
    "WINDOW_UPDATE": frame(8, 0, 0, bytes([0, 0, 0, 1])),
}


@asynccontextmanager
async def served(how: Serving) -> AsyncIterator[tuple[Server, int]]:
    server = Server(how)
    async with serving([server.processor, Health(lambda: True)], "127.0.0.1:0", how) as port:
        yield server, port


async def answers(port: int) -> None:
    """Another client is served."""
    async with channel(port) as client, asyncio.timeout(20):
        check = client.unary_unary("/grpc.health.v1.Health/Check", Request.SerializeToString, Response.FromString)
        assert (await check(Request())).status == 1
        call = stream(client)
        await picked(call)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def throw(port: int, sent: bytes) -> None:
    """Send this, read what comes, and leave."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError, TimeoutError):
        writer.write(sent)
        async with asyncio.timeout(2):
            await writer.drain()
            await reader.read(1000)
    writer.transport.abort()


async def test_damaged_connections_leave_the_server_serving(how: Serving) -> None:
    async with served(how) as (server, port):
        for at in range(0, CONNECTIONS, 20):
            async with asyncio.TaskGroup() as group:
                for seed in range(at, at + 20):
                    choose = random.Random(seed)
                    noise = damaged(lively_bytes(seed), seed) if seed % 3 else PREFACE + choose.randbytes(300)
                    group.create_task(throw(port, noise))
        await answers(port)
        await asyncio.sleep(0.1)
        assert [talk.closed for talk in server.talks] == [1] * len(server.talks)


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_leaves_the_server_serving(how: Serving, kind: str) -> None:
    opening = b"" if kind in ("PING", "SETTINGS", "WINDOW_UPDATE") else frame(1, 0, 1, b"\x83")
    async with served(how) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE + opening)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(3):  # until the server has had enough, or this client
                for _ in range(400):
                    writer.write(FLOODS[kind] * 500)
                    await writer.drain()
        await answers(port)
        writer.transport.abort()


async def test_a_peer_that_reads_nothing_is_held_up_and_the_others_are_served(how: Serving) -> None:
    async with served(how) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(PREFACE)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2):
                for _ in range(3000):
                    writer.write(frame(6, 0, 0, bytes(8)) * 1000)
                    await writer.drain()
        await answers(port)
        writer.transport.abort()
