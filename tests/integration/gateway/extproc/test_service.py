"""A whole service: it serves until it is stopped, and then drains."""

import asyncio
from pathlib import Path

import grpc.aio

from gateway.extproc.service import Listeners, serve
from gateway.rpc.health import Health
from gateway.rpc.server import Serving, Transport
from tests.conftest import free_ports
from tests.integration.gateway.extproc.talk import Server, picked, stream, until


async def test_a_service_serves_until_it_is_stopped_and_then_drains(transport: Transport) -> None:
    stopping, health = asyncio.Event(), Health(lambda: True, lambda: 0.0)
    server = Server(Serving(transport=transport))
    async with asyncio.TaskGroup() as group:
        listeners = Listeners("127.0.0.1", 0, 0, transport=transport)
        running = group.create_task(serve(stopping, listeners, health, [server.processor], asyncio.Event()))
        await asyncio.sleep(0.05)
        assert not running.done()
        stopping.set()
    assert health.status("") == 2


async def test_a_service_serves_on_a_unix_socket_and_leaves_none_behind(tmp_path: Path, transport: Transport) -> None:
    stopping, health = asyncio.Event(), Health(lambda: True, lambda: 0.0)
    server, path = Server(Serving(transport=transport)), tmp_path / "picker.sock"
    async with asyncio.TaskGroup() as group:
        listeners = Listeners("127.0.0.1", 0, 0, transport=transport, grpc_socket=path)
        group.create_task(serve(stopping, listeners, health, [server.processor], asyncio.Event()))
        await until(path.exists)
        async with grpc.aio.insecure_channel(f"unix:{path}") as client:
            await picked(stream(client))
        stopping.set()
    assert not path.exists()


async def test_a_service_is_open_once_every_listener_takes_connections(transport: Transport) -> None:
    stopping, opened = asyncio.Event(), asyncio.Event()
    health = Health(opened.is_set, lambda: 0.0)
    ports, server = free_ports(2), Server(Serving(transport=transport))
    async with asyncio.TaskGroup() as group:
        listeners = Listeners("127.0.0.1", ports[0], ports[1], transport=transport)
        group.create_task(serve(stopping, listeners, health, [server.processor], opened))
        assert not opened.is_set()
        await opened.wait()
        for port in ports:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
        stopping.set()
