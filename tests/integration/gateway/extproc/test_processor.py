"""The ext_proc service on a real socket, by both transports: one RPC is one conversation, whose end is never missed."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Push
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.exchange import Proceed
from gateway.extproc.protocol.messages import ImmediateReply, MoreTime, Mutation
from gateway.rpc.limits import Settings
from gateway.rpc.server import AddressError, Serving, serving
from tests.integration.gateway.extproc.talk import (
    Counts,
    ProcessingRequest,
    Server,
    Talk,
    body,
    channel,
    headers,
    picked,
    stream,
    until,
)


async def test_a_request_is_answered_and_its_end_closes_the_conversation_once(how: Serving) -> None:
    server = Server(how)
    async with server.client() as client:
        call = stream(client, (("x-gateway-inference-pool", "default/a"),))
        await call.write(headers())
        assert (await call.read()).WhichOneof("response") == "request_headers"
        await call.write(body(b"1234"))
        (option,) = (await call.read()).request_body.response.header_mutation.set_headers
        assert option.header.raw_value == b"4"
        assert server.talks[0].metadata["x-gateway-inference-pool"] == "default/a"
        assert server.talks[0].closed == 0
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
    assert [talk.closed for talk in server.talks] == [1]


async def test_a_cancelled_stream_closes_the_conversation_at_once(how: Serving) -> None:
    server = Server(how)
    async with server.client() as client:
        call = stream(client)
        await picked(call)
        call.cancel()
        await until(lambda: server.talks[0].closed == 1)
    assert [talk.closed for talk in server.talks] == [1]


async def test_every_address_is_of_both_families(how: Serving) -> None:
    server = Server(how)
    async with serving([server.processor], "[::]:0", how) as port:
        for host in ("127.0.0.1", "[::1]"):
            async with grpc.aio.insecure_channel(f"{host}:{port}") as client:
                await picked(stream(client))
    assert len(server.talks) == 2


class Wire:
    """Carries bytes between a proxy and the server, until it is cut: then both still see an open connection."""

    def __init__(self, port: int) -> None:
        self.is_cut = False
        self._port = port
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*self._tasks)
            server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, far_writer]
        ways = (self._carry(reader, far_writer), self._carry(far_reader, writer))
        self._tasks += [asyncio.create_task(way) for way in ways]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.is_cut:
                writer.write(data)


async def test_a_silent_stream_stays_open_and_ends_when_the_host_of_its_proxy_vanishes(how: Serving) -> None:
    server = Server(how)
    quick = replace(how, settings=Settings(keepalive_seconds=0.1, keepalive_timeout_seconds=0.4))
    async with serving([server.processor], "127.0.0.1:0", quick) as port:
        wire_between = Wire(port)
        async with wire_between.serving() as carried, channel(carried) as client:
            call = stream(client)
            await picked(call)
            await asyncio.sleep(1.0)
            assert server.talks[0].closed == 0
            wire_between.is_cut = True
            await until(lambda: server.talks[0].closed == 1)


async def complete_request(call: Any) -> None:
    """A request is complete, and waits."""
    await call.write(headers())
    await call.read()
    await call.write(body())


async def test_a_reply_that_no_message_brought_about_is_pushed(how: Serving) -> None:
    server = Server(how, waits=True)
    async with server.client() as client:
        call = stream(client)
        await complete_request(call)
        await asyncio.sleep(0.05)
        server.talks[0].release(Proceed(Mutation((("late", "yes"),))))
        (option,) = (await call.read()).request_body.response.header_mutation.set_headers
        assert (option.header.key, server.talks[0].closed) == ("late", 0)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
    assert (server.talks[0].closed, server.talks[0].was_cut) == (1, False)


async def test_pushed_replies_leave_in_order_and_before_those_to_later_messages(how: Serving) -> None:
    server = Server(how, waits=True)
    async with server.client() as client:
        call = stream(client)
        await complete_request(call)
        await asyncio.sleep(0.05)
        talk = server.talks[0]
        for seconds in (1, 2, 3):
            talk.push([MoreTime(seconds)])
        talk.release(Proceed(Mutation()))
        waits = [(await call.read()).override_message_timeout.seconds for _ in range(3)]
        assert waits == [1, 2, 3]
        assert (await call.read()).WhichOneof("response") == "request_body"


async def test_a_pushed_refusal_ends_the_rpc_with_ok(how: Serving) -> None:
    server = Server(how, waits=True)
    async with server.client() as client:
        call = stream(client)
        await complete_request(call)
        await asyncio.sleep(0.05)
        server.talks[0].release(ImmediateReply(429, (), b"{}"))
        assert (await call.read()).WhichOneof("response") == "immediate_response"
        assert await call.code() is grpc.StatusCode.OK
    assert server.talks[0].closed == 1


async def test_a_push_after_the_end_does_nothing(how: Serving) -> None:
    server = Server(how, waits=True)
    async with server.client() as client:
        call = stream(client)
        await complete_request(call)
        await asyncio.sleep(0.05)
        call.cancel()
        await until(lambda: server.talks[0].closed == 1)
        server.talks[0].release(Proceed(Mutation()))
        await asyncio.sleep(0.05)


async def test_what_an_rpc_held_is_freed_without_the_collector(how: Serving) -> None:
    opened: list[weakref.ref[Talk]] = []

    def conversation(metadata: Mapping[str, str], push: Push) -> Talk:
        talk = Talk(dict(metadata), push, ends=False)
        opened.append(weakref.ref(talk))
        return talk

    processor = ExternalProcessor(conversation, Codec(), lambda: 0.0, Counts())
    gc.disable()
    try:
        async with serving([processor], "127.0.0.1:0", how) as port, channel(port) as client:
            call = stream(client)
            await picked(call)
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
            await until(lambda: opened[0]() is None)
    finally:
        gc.enable()


async def test_a_drain_waits_for_a_request_that_waits(how: Serving) -> None:
    server = Server(how, waits=True)
    async with server.client() as client:
        call = stream(client)
        await complete_request(call)
        await asyncio.sleep(0.05)
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(server.processor.drain())
            await asyncio.sleep(0.05)
            assert not drained.done()
            server.talks[0].release(Proceed(Mutation()))
            assert (await call.read()).WhichOneof("response") == "request_body"
            assert await call.code() is grpc.StatusCode.OK


async def test_a_finished_conversation_ends_its_rpc_with_ok(how: Serving) -> None:
    server = Server(how, ends=True)
    async with server.client() as client:
        call = stream(client)
        await picked(call)
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_violation_is_counted_and_ends_the_stream_with_invalid_argument(how: Serving) -> None:
    server = Server(how)
    async with server.client() as client:
        call = stream(client)
        await call.write(body())
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "IDLE" in await call.details()
        call = stream(client)
        await call.write(ProcessingRequest())
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(server.counts.violations) == 2
    assert [talk.closed for talk in server.talks] == [1, 1]


async def test_a_whole_body_of_20_mb_is_one_message(how: Serving) -> None:
    server = Server(how)
    async with server.client() as client:
        call = stream(client)
        await call.write(headers())
        await call.read()
        await call.write(body(bytes(20 * 2**20)))
        (option,) = (await call.read()).request_body.response.header_mutation.set_headers
        assert option.header.raw_value == b"20971520"


async def test_a_drain_ends_what_is_at_rest_with_ok_and_waits_for_what_is_owed(how: Serving) -> None:
    server = Server(how)
    async with server.client() as client:
        resting, owed = [stream(client) for _ in range(3)], stream(client)
        for call in resting:
            await picked(call)
        await owed.write(headers())
        await owed.read()
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(server.processor.drain())
            for call in resting:
                assert await call.code() is grpc.StatusCode.OK
            assert not drained.done()
            await owed.write(body())
            assert (await owed.read()).WhichOneof("response") == "request_body"
            assert await owed.code() is grpc.StatusCode.OK
    assert [talk.closed for talk in server.talks] == [1, 1, 1, 1]


async def test_a_drain_with_nothing_in_flight_is_over_at_once(how: Serving) -> None:
    server = Server(how)
    async with server.client():
        await server.processor.drain()
    assert server.talks == []


async def test_a_port_that_is_taken_is_an_error_that_names_it(how: Serving) -> None:
    async with serving([Server(how).processor], "127.0.0.1:0", how) as port:
        with pytest.raises(AddressError, match=str(port)):
            async with serving([Server(how).processor], f"127.0.0.1:{port}", how):
                pass
