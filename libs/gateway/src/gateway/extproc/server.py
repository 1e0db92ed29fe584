"""The gRPC server of an ext_proc service on grpc.aio: one RPC is one conversation. It knows no service.

Events go in, replies come out in order, and replies that the conversation pushes go out as soon as they can. The end of
the RPC, however it comes, closes the conversation exactly once. On a drain, RPCs that owe no reply end with OK at once
(the proxy then goes on by itself), the others when they come to rest.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import grpc.aio

from gateway.extproc.codec import Codec, UnknownMessageError
from gateway.extproc.conversation import Conversation, Open, ServerMetrics
from gateway.extproc.protocol.exchange import ProtocolViolation
from gateway.extproc.protocol.messages import Reply
from gateway.service import lifecycle, logs
from gateway.service.clock import Clock
from gateway.wire.protocol import BODY_LIMIT_BYTES, EXT_PROC_SERVICE

log = logs.get(__name__)

# A whole body is one message, with some room for its frame and the headers around it.
MESSAGE_LIMIT_BYTES = BODY_LIMIT_BYTES + 1024 * 1024
# Reading a larger message takes long enough for the other streams to notice: 5 ms or more.
LARGE_MESSAGE_BYTES = 1024 * 1024
LONGEST_PAUSE_SECONDS = 0.1
# An open stream means that its request lives, so a proxy whose host vanished must not leave one behind. A silent
# connection is pinged this often, and closed without an answer for the second time: half a minute in all, as long as
# three heartbeats of the access log. A proxy of any make answers pings by itself, whatever its load.
KEEPALIVE_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 20_000
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # with it, a leftover process would silently take half of the requests
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # else a keepalive's ping is waited for a minute
    ("grpc.keepalive_permit_without_calls", 1),
    # Envoy pings idle connections as often as its configuration says; that is no abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)


def limited(receive: int, send: int) -> Sequence[tuple[str, int]]:
    """The options with other limits of a message, in bytes."""
    limits = {"grpc.max_receive_message_length": receive, "grpc.max_send_message_length": send}
    return tuple((name, limits.get(name, value)) for name, value in SERVER_OPTIONS)


class _Outbox:
    """The replies of one RPC on their way out, in order: gRPC takes one write at a time."""

    __slots__ = ("_encode", "_is_open", "_is_writing", "_on_pushed", "_replies", "_write", "_writers")

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        encode: Callable[[Reply], bytes],
        writers: asyncio.TaskGroup,
        on_pushed: Callable[[], None],
    ) -> None:
        self._write = write
        self._encode = encode
        self._writers = writers
        self._on_pushed = on_pushed
        self._replies: deque[Reply] = deque()
        self._is_writing = False
        self._is_open = True

    @property
    def is_empty(self) -> bool:
        """Every reply has been written."""
        return not self._replies and not self._is_writing

    async def send(self, replies: Sequence[Reply]) -> None:
        """Write replies, or leave them to the task that is writing earlier ones."""
        self._replies.extend(replies)
        if not self._is_writing:
            await self._flush()

    def push(self, replies: Sequence[Reply]) -> None:
        """Have replies written by a task of their own."""
        if self._is_open and replies:
            self._replies.extend(replies)
            self._writers.create_task(self._flush_pushed())

    def close(self) -> None:
        """Take no further reply, and let go of the call: a cycle would keep each one until the collector runs."""
        self._is_open = False
        self._on_pushed = _ignore

    async def _flush_pushed(self) -> None:
        if not self._is_writing:
            await self._flush()
            self._on_pushed()

    async def _flush(self) -> None:
        self._is_writing = True
        while self._replies:
            await self._write(self._encode(self._replies.popleft()))
        self._is_writing = False


def _ignore() -> None:
    """After the end there is nothing to release."""


@dataclass(slots=True)
class _Call:
    """One RPC; its task reads."""

    task: asyncio.Task[Any]
    outbox: _Outbox = field(init=False)
    conversation: Conversation = field(init=False)
    is_released: bool = False

    def release(self) -> None:
        """End the RPC with OK."""
        if not self.is_released:
            self.is_released = True
            self.task.cancel()


class ExternalProcessor:
    """The servicer. Register with `add_to`."""

    def __init__(self, open_conversation: Open, codec: Codec, clock: Clock, metrics: ServerMetrics) -> None:
        self._open = open_conversation
        self._codec = codec
        self._clock = clock
        self._metrics = metrics
        self._calls: dict[int, _Call] = {}
        self._is_draining = False
        self._is_idle = asyncio.Event()
        self._large_turn = asyncio.Lock()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register under Envoy's service name; messages stay bytes, the codec works on them."""
        process = grpc.stream_stream_rpc_method_handler(self._process)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(EXT_PROC_SERVICE, {"Process": process})])

    async def drain(self) -> None:
        """End what is at rest; return when no call is left."""
        self._is_draining = True
        for call in list(self._calls.values()):
            self._release_if_over(call)
        if self._calls:
            await self._is_idle.wait()

    async def _process(self, _messages: object, context: Any) -> None:
        violation = None
        async with asyncio.TaskGroup() as writers:
            call = self._begin(context, writers)
            try:
                await self._converse(call, context.read)
            except asyncio.CancelledError:
                if not call.is_released:
                    raise
                call.task.uncancel()
            except (ProtocolViolation, UnknownMessageError) as error:
                violation = str(error)
            finally:
                self._end(call)
        if violation is not None:
            self._metrics.violation(violation)
            log.debug("a proxy broke the protocol", reason=violation)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, violation)

    def _begin(self, context: Any, writers: asyncio.TaskGroup) -> _Call:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a servicer runs in a task")
        call = self._calls[id(task)] = _Call(task)
        call.outbox = _Outbox(context.write, self._codec.encode, writers, lambda: self._release_if_over(call))
        metadata = {item.key: item.value for item in context.invocation_metadata() or ()}
        call.conversation = self._open(metadata, call.outbox.push)
        return call

    async def _converse(self, call: _Call, read: Callable[[], Awaitable[Any]]) -> None:
        decode, send = self._codec.decode, call.outbox.send
        conversation, clock = call.conversation, self._clock
        while (message := await read()) is not grpc.aio.EOF:
            if len(message) <= LARGE_MESSAGE_BYTES:
                replies = conversation.receive(decode(message), clock())
            else:
                replies = await self._in_turn(lambda large: conversation.receive(decode(large), clock()), message)
            del message  # a large one is not kept while its answer is written
            await send(replies)
            if self._is_over(call):
                return

    async def _in_turn(self, receive: Callable[[bytes], Sequence[Reply]], message: bytes) -> Sequence[Reply]:
        """Have one large message read at a time, and leave as much time to the other streams after each."""
        async with self._large_turn:
            began = self._clock()
            with lifecycle.without_collector():
                replies = receive(message)
            await asyncio.sleep(min(self._clock() - began, LONGEST_PAUSE_SECONDS))
        return replies

    def _is_over(self, call: _Call) -> bool:
        conversation = call.conversation
        ends = conversation.is_finished or (self._is_draining and conversation.is_at_rest)
        return ends and call.outbox.is_empty

    def _release_if_over(self, call: _Call) -> None:
        if self._is_over(call):
            call.release()

    def _end(self, call: _Call) -> None:
        del self._calls[id(call.task)]
        if self._is_draining and not self._calls:
            self._is_idle.set()
        call.outbox.close()
        call.conversation.close(self._clock(), is_cut=not call.outbox.is_empty)


class Servicer(Protocol):
    def add_to(self, server: grpc.aio.Server) -> None:
        """Register on a server that has not started."""


class PortInUseError(OSError):
    """The address cannot be bound."""


@asynccontextmanager
async def serving(
    servicers: Sequence[Servicer],
    address: str,
    credentials: grpc.ServerCredentials | None = None,
    options: Sequence[tuple[str, int]] = SERVER_OPTIONS,
) -> AsyncIterator[int]:
    """Serve gRPC while the body runs; yields the port. What still runs at the end is cut, so drain first."""
    server = grpc.aio.server(options=options)
    for servicer in servicers:
        servicer.add_to(server)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise PortInUseError(f"cannot listen on {address}: {error}") from None
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
