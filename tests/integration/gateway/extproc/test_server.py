"""The gRPC shell on a real socket: one RPC is one conversation, and its end is always heard."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway import protos
from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Push
from gateway.extproc.protocol.exchange import Decide, Exchange, Proceed
from gateway.extproc.protocol.messages import BodyMode, Event, ImmediateReply, Modes, MoreTime, Mutation, Reply
from gateway.extproc.server import SERVER_OPTIONS, ExternalProcessor, PortInUseError, serving
from gateway.extproc.service import Listeners, serve
from gateway.service.health import Health

POOL = protos.load_pool()
ProcessingRequest = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
ProcessingResponse = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingResponse")
HealthRequest = protos.message_class(POOL, "grpc.health.v1.HealthCheckRequest")
HealthResponse = protos.message_class(POOL, "grpc.health.v1.HealthCheckResponse")
HealthListRequest = protos.message_class(POOL, "grpc.health.v1.HealthListRequest")
HealthListResponse = protos.message_class(POOL, "grpc.health.v1.HealthListResponse")
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


class Talk:
    """Lets every request proceed, at once or when it is released; `ends` makes it finish with its last reply."""

    def __init__(self, metadata: dict[str, str], push: Push, ends: bool) -> None:
        self.metadata = metadata
        self.push = push
        self.closed = 0
        self.waits = False
        self.was_cut = False
        self._ends = ends
        self._exchange = Exchange(Modes(BodyMode.BUFFERED, BodyMode.NONE))

    @property
    def is_finished(self) -> bool:
        return self._exchange.is_closed or (self._ends and self._exchange.request_is_over)

    @property
    def is_at_rest(self) -> bool:
        return self._exchange.is_at_rest

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        replies: list[Reply] = []
        for step in self._exchange.receive(event):
            if isinstance(step, Decide) and self.waits:
                replies += self._exchange.wait()
            elif isinstance(step, Decide):
                replies += self._exchange.decided(Proceed(Mutation((("size", str(len(step.body))),))))
            else:
                replies.append(step)
        return replies

    def release(self, decision: Proceed | ImmediateReply) -> None:
        """Decide about the request that waits."""
        self.push(self._exchange.decided(decision))

    def close(self, now: float, *, is_cut: bool = False) -> None:
        self.closed += 1
        self.was_cut = is_cut


class Counts:
    def __init__(self) -> None:
        self.violations: list[str] = []

    def violation(self, reason: str) -> None:
        self.violations.append(reason)


class Server:
    def __init__(self, *, ends: bool = False, waits: bool = False) -> None:
        self._waits = waits
        self.talks: list[Talk] = []
        self.counts = Counts()
        self.processor = ExternalProcessor(
            lambda metadata, push: self._open(dict(metadata), push, ends), Codec(), lambda: 0.0, self.counts
        )

    def _open(self, metadata: dict[str, str], push: Push, ends: bool) -> Talk:
        self.talks.append(Talk(metadata, push, ends))
        self.talks[-1].waits = self._waits
        return self.talks[-1]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[grpc.aio.Channel]:
        async with serving([self.processor], "127.0.0.1:0") as port, channel(port) as opened:
            yield opened


@asynccontextmanager
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as opened:
        yield opened


def stream(opened: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = ()):
    process = opened.stream_stream(PROCESS, lambda message: message.SerializeToString(), ProcessingResponse.FromString)
    return process(metadata=metadata)


def headers(*, end: bool = False):
    message = ProcessingRequest()
    message.request_headers.end_of_stream = end
    return message


def body(data: bytes = b"{}"):
    message = ProcessingRequest()
    message.request_body.body, message.request_body.end_of_stream = data, True
    return message


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def picked(call) -> None:
    await call.write(headers())
    await call.read()
    await call.write(body())
    await call.read()


async def test_a_request_is_answered_and_its_end_closes_the_conversation_once() -> None:
    server = Server()
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


async def test_a_cancelled_stream_closes_the_conversation_at_once() -> None:
    server = Server()
    async with server.client() as client:
        call = stream(client)
        await picked(call)
        call.cancel()
        await until(lambda: server.talks[0].closed == 1)
    assert [talk.closed for talk in server.talks] == [1]


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


async def test_a_silent_stream_stays_open_and_ends_when_the_host_of_its_proxy_vanishes() -> None:
    server = Server()
    quick = {
        "grpc.keepalive_time_ms": 100,
        "grpc.keepalive_timeout_ms": 400,
        "grpc.http2.ping_timeout_ms": 400,
    }
    assert quick.keys() <= dict(SERVER_OPTIONS).keys()
    options = tuple((dict(SERVER_OPTIONS) | quick).items())
    async with serving([server.processor], "127.0.0.1:0", options=options) as port:
        wire_between = Wire(port)
        async with wire_between.serving() as carried, channel(carried) as client:
            call = stream(client)
            await picked(call)
            await asyncio.sleep(1.0)
            assert server.talks[0].closed == 0
            wire_between.is_cut = True
            await until(lambda: server.talks[0].closed == 1)


class Gone:
    """The server's side of an RPC whose client leaves before the reply number `at` is written."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._messages = [headers(), body()]

    def invocation_metadata(self) -> None: ...

    async def read(self) -> object:
        return self._messages.pop(0).SerializeToString() if self._messages else grpc.aio.EOF

    async def write(self, reply: bytes) -> None:
        self._at -= 1
        if self._at < 0:
            raise asyncio.CancelledError


@pytest.mark.parametrize(("at", "is_cut"), [(0, True), (1, True), (2, False)])
async def test_a_conversation_is_told_that_its_last_reply_was_not_written(at: int, is_cut: bool) -> None:
    server = Server()
    with contextlib.nullcontext() if not is_cut else pytest.raises(asyncio.CancelledError):
        await server.processor._process(None, Gone(at))
    assert [(talk.closed, talk.was_cut) for talk in server.talks] == [(1, is_cut)]


async def complete_request(call: Any) -> None:
    """A request is complete, and waits."""
    await call.write(headers())
    await call.read()
    await call.write(body())


async def test_a_reply_that_no_message_brought_about_is_pushed() -> None:
    server = Server(waits=True)
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


async def test_pushed_replies_leave_in_order_and_before_those_to_later_messages() -> None:
    server = Server(waits=True)
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


async def test_a_pushed_refusal_ends_the_rpc_with_ok() -> None:
    server = Server(waits=True)
    async with server.client() as client:
        call = stream(client)
        await complete_request(call)
        await asyncio.sleep(0.05)
        server.talks[0].release(ImmediateReply(429, (), b"{}"))
        assert (await call.read()).WhichOneof("response") == "immediate_response"
        assert await call.code() is grpc.StatusCode.OK
    assert server.talks[0].closed == 1


async def test_a_push_after_the_end_does_nothing() -> None:
    server = Server(waits=True)
    async with server.client() as client:
        call = stream(client)
        await complete_request(call)
        await asyncio.sleep(0.05)
        call.cancel()
        await until(lambda: server.talks[0].closed == 1)
        server.talks[0].release(Proceed(Mutation()))
        await asyncio.sleep(0.05)


async def test_what_an_rpc_held_is_freed_without_the_collector() -> None:
    opened: list[weakref.ref[Talk]] = []

    def conversation(metadata: Mapping[str, str], push: Push) -> Talk:
        talk = Talk(dict(metadata), push, ends=False)
        opened.append(weakref.ref(talk))
        return talk

    processor = ExternalProcessor(conversation, Codec(), lambda: 0.0, Counts())
    gc.disable()
    try:
        async with serving([processor], "127.0.0.1:0") as port, channel(port) as client:
            call = stream(client)
            await picked(call)
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
            await until(lambda: opened[0]() is None)
    finally:
        gc.enable()


async def test_a_drain_waits_for_a_request_that_waits() -> None:
    server = Server(waits=True)
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


async def test_a_finished_conversation_ends_its_rpc_with_ok() -> None:
    server = Server(ends=True)
    async with server.client() as client:
        call = stream(client)
        await picked(call)
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_violation_is_counted_and_ends_the_stream_with_invalid_argument() -> None:
    server = Server()
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


async def test_a_whole_body_of_20_mb_is_one_message() -> None:
    server = Server()
    async with server.client() as client:
        call = stream(client)
        await call.write(headers())
        await call.read()
        await call.write(body(bytes(20 * 2**20)))
        (option,) = (await call.read()).request_body.response.header_mutation.set_headers
        assert option.header.raw_value == b"20971520"


async def test_a_drain_ends_what_is_at_rest_with_ok_and_waits_for_what_is_owed() -> None:
    server = Server()
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


async def test_a_drain_with_nothing_in_flight_is_over_at_once() -> None:
    server = Server()
    async with server.client():
        await server.processor.drain()
    assert server.talks == []


async def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    async with serving([Server().processor], "127.0.0.1:0") as port:
        with pytest.raises(PortInUseError, match=str(port)):
            async with serving([Server().processor], f"127.0.0.1:{port}"):
                pass


class Process:
    """A whole service on ports of its own."""

    def __init__(self) -> None:
        self.server = Server()
        self.ready = True
        self.now = 0.0
        self.health = Health(lambda: self.ready, lambda: self.now)
        self.stopping = asyncio.Event()


@asynccontextmanager
async def health_client(process: Process) -> AsyncIterator[grpc.aio.Channel]:
    async with serving([process.health], "127.0.0.1:0") as port, channel(port) as opened:
        yield opened


async def status(client: grpc.aio.Channel, service: str) -> int:
    check = client.unary_unary(
        "/grpc.health.v1.Health/Check", lambda message: message.SerializeToString(), HealthResponse.FromString
    )
    return int((await check(HealthRequest(service=service))).status)


async def test_health_follows_readiness_but_liveness_does_not() -> None:
    process = Process()
    names = ["", "envoy.service.ext_proc.v3.ExternalProcessor", "readiness", "inference-extension"]
    async with health_client(process) as client:
        assert [await status(client, name) for name in names] == [1, 1, 1, 1]
        process.ready = False
        assert [await status(client, name) for name in names] == [2, 2, 2, 2]
        assert await status(client, "liveness") == 1
        assert await status(client, "nobody") == 3


async def test_health_lists_every_name() -> None:
    process = Process()
    async with health_client(process) as client:
        lists = client.unary_unary(
            "/grpc.health.v1.Health/List", lambda message: message.SerializeToString(), HealthListResponse.FromString
        )
        listed = (await lists(HealthListRequest())).statuses
    assert {name: listed[name].status for name in listed} == dict.fromkeys(
        ["", "liveness", "readiness", "inference-extension", "envoy.service.ext_proc.v3.ExternalProcessor"], 1
    )


async def test_a_watcher_hears_of_each_change_once() -> None:
    process = Process()
    async with health_client(process) as client:
        watch = client.unary_stream(
            "/grpc.health.v1.Health/Watch", lambda message: message.SerializeToString(), HealthResponse.FromString
        )
        call = watch(HealthRequest(service="readiness"))
        assert (await call.read()).status == 1
        process.health.close()
        assert (await call.read()).status == 2
        call.cancel()


async def test_a_drain_waits_until_a_proxy_that_checks_has_heard_of_it() -> None:
    process = Process()
    async with health_client(process) as client:
        assert await status(client, "") == 1
        process.health.close()
        async with asyncio.TaskGroup() as group:
            announced = group.create_task(process.health.announced())
            await asyncio.sleep(0.02)
            assert not announced.done()
            assert await status(client, "") == 2


async def test_a_drain_waits_for_nobody_when_no_proxy_checks() -> None:
    process = Process()
    process.now = 1e6
    process.health.close()
    async with asyncio.timeout(1):
        await process.health.announced()
    assert process.health.status("readiness") == 2


async def test_a_service_serves_until_it_is_stopped_and_then_drains() -> None:
    process = Process()
    async with asyncio.TaskGroup() as group:
        listeners = Listeners("127.0.0.1", 0, 0)
        running = group.create_task(serve(process.stopping, listeners, process.health, [process.server.processor]))
        await asyncio.sleep(0.05)
        assert not running.done()
        process.stopping.set()
    assert process.health.status("") == 2
