"""The gRPC shell of an ext_proc service: one RPC is one conversation. It knows grpc.aio and nothing else.

A conversation is pure: events in, replies out. The end of the RPC, however it comes, closes it exactly once. On a
drain, RPCs that owe nothing are ended with OK at once (the proxy then goes on by itself), the others when they come
to rest.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio

from gateway.extproc.codec import Codec, UnknownMessageError
from gateway.extproc.exchange import ProtocolViolation
from gateway.extproc.messages import Event, Reply
from gateway.service import logs
from gateway.service.clock import Clock
from gateway.wire.protocol import BODY_LIMIT_BYTES

log = logs.get(__name__)

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
# A whole body is one message, with some room for its frame and the headers around it.
MESSAGE_LIMIT_BYTES = BODY_LIMIT_BYTES + 1024 * 1024
# An open stream is what says that a request lives, so a proxy whose host vanished must not leave one behind. One that
# says nothing is asked this often, and is gone if it does not answer within the second: half a minute in all, as long
# as three heartbeats of the access log. A proxy of any make answers pings by itself, whatever its load.
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
    # Envoy pings idle connections as often as it is told to; that is no abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)


class Conversation(Protocol):
    """What a service does with one stream. Pure: `now` is monotonic seconds."""

    @property
    def is_finished(self) -> bool:
        """It will never say anything again: the RPC may end with OK."""

    @property
    def is_at_rest(self) -> bool:
        """It owes nothing now: a drain may end the RPC with OK."""

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        """Take the proxy's next message and say what goes back."""

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """The stream is over; called exactly once. When it is cut, the latest replies were not all written."""


# Receives the stream's initial metadata.
Open = Callable[[Mapping[str, str]], Conversation]


class Observer(Protocol):
    """What an operator counts."""

    def violation(self, reason: str) -> None:
        """A proxy broke the protocol."""


@dataclass(slots=True)
class _Call:
    conversation: Conversation
    task: asyncio.Task[Any]
    is_released: bool = False
    is_saying: bool = False  # replies are being written


class ExternalProcessor:
    """The servicer. Register with `add_to`."""

    def __init__(self, open_conversation: Open, codec: Codec, clock: Clock, observer: Observer) -> None:
        self._open = open_conversation
        self._codec = codec
        self._clock = clock
        self._observer = observer
        self._calls: dict[int, _Call] = {}
        self._is_draining = False
        self._is_idle = asyncio.Event()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register under Envoy's service name; messages stay bytes, the codec works on them."""
        process = grpc.stream_stream_rpc_method_handler(self._process)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Process": process})])

    async def _process(self, _messages: object, context: Any) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a servicer runs in a task")
        conversation = self._open({item.key: item.value for item in context.invocation_metadata() or ()})
        call = self._calls[id(task)] = _Call(conversation, task)
        try:
            await self._converse(call, context)
        except asyncio.CancelledError:
            if not call.is_released:
                raise
        except (ProtocolViolation, UnknownMessageError) as error:
            self._observer.violation(str(error))
            log.debug("a proxy broke the protocol", reason=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            del self._calls[id(task)]
            if self._is_draining and not self._calls:
                self._is_idle.set()
            conversation.close(self._clock(), is_cut=call.is_saying)

    async def _converse(self, call: _Call, context: Any) -> None:
        read, write = context.read, context.write
        decode, encode = self._codec.decode, self._codec.encode
        conversation, clock = call.conversation, self._clock
        while True:
            message = await read()
            if message is grpc.aio.EOF:
                return
            replies = conversation.receive(decode(message), clock())
            call.is_saying = True
            for reply in replies:
                await write(encode(reply))
            call.is_saying = False
            if conversation.is_finished or (self._is_draining and conversation.is_at_rest):
                return

    async def drain(self) -> None:
        """End what is at rest; return when no call is left."""
        self._is_draining = True
        for call in list(self._calls.values()):
            if call.conversation.is_at_rest and not call.is_saying:
                call.is_released = True
                call.task.cancel()
        if self._calls:
            await self._is_idle.wait()


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
