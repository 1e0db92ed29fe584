"""The second transport: the same handlers on grpc.aio, where a task reads each call. `listening` is every such server.

Answers go out in order; those that come between messages are written by a task of their own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from gateway.rpc.calls import Handler, Method, Service, Status
from gateway.rpc.limits import LARGE_MESSAGE_BYTES, Settings
from gateway.service import clock, lifecycle, logs
from gateway.service.turns import LONGEST_PAUSE_SECONDS

log = logs.get(__name__)

_CODES: Mapping[Status, grpc.StatusCode] = {Status(code.value[0]): code for code in grpc.StatusCode
                                            if code.value[0] in list(Status)}  # fmt: skip


def keepalive_options(settings: Settings) -> Sequence[tuple[str, int]]:
    """What every server has, in gRPC's words."""
    timeout = round(settings.keepalive_timeout_seconds * 1000)
    return (
        ("grpc.so_reuseport", 0),  # with it, a leftover process would silently take half of the requests
        ("grpc.keepalive_time_ms", round(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", timeout),
        ("grpc.http2.ping_timeout_ms", timeout),  # else a keepalive's ping is waited for a minute
        ("grpc.keepalive_permit_without_calls", 1),
        # Envoy pings idle connections as often as its configuration says; that is no abuse.
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.http2.max_ping_strikes", 0),
    )


def server_options(settings: Settings) -> Sequence[tuple[str, int]]:
    """The settings in gRPC's words."""
    return (
        *keepalive_options(settings),
        ("grpc.max_receive_message_length", settings.receive_limit),
        ("grpc.max_send_message_length", settings.send_limit),
    )


class _Call:
    """One RPC; its task reads. See `gateway.rpc.calls.Call`."""

    __slots__ = ("_is_writing", "_messages", "_task", "_write", "_writers", "ending", "is_over", "is_released")

    def __init__(self, task: asyncio.Task[Any], context: Any, writers: asyncio.TaskGroup) -> None:
        self._task = task
        self._write: Callable[[bytes], Awaitable[None]] = context.write
        self._writers = writers
        self._messages: deque[bytes] = deque()
        self._is_writing = False
        self.ending: tuple[Status, str] | None = None
        self.is_over = self.is_released = False

    @property
    def is_written(self) -> bool:
        """Every message has been written."""
        return not self._messages and not self._is_writing

    def send(self, messages: Sequence[bytes]) -> None:
        if self.ending is None and not self.is_over:
            self._messages.extend(messages)
            self._write_later()

    def end(self, status: Status = Status.OK, text: str = "") -> None:
        if self.ending is None and not self.is_over:
            self.ending = (status, text)
            self._write_later()

    def _write_later(self) -> None:
        """Within `receive` the reading task writes when the handler is done; at other times a task of its own does."""
        if not self._is_writing and asyncio.current_task() is not self._task:
            self._writers.create_task(self._write_between())

    async def _write_between(self) -> None:
        if not self._is_writing:
            await self.flush()
            if self.ending is not None and not self.is_released and not self.is_over:
                self.is_released = True
                self._task.cancel()

    async def flush(self) -> None:
        """Write what there is, unless another task does."""
        if self._is_writing:
            return
        self._is_writing = True
        while self._messages:
            await self._write(self._messages.popleft())
        self._is_writing = False


class _Calls:
    """All calls of a server."""

    def __init__(self) -> None:
        self._large_turn = asyncio.Lock()

    async def serve(self, method: Method, context: Any) -> None:
        """One RPC."""
        ending = None
        async with asyncio.TaskGroup() as writers:
            task = asyncio.current_task()
            if task is None:
                raise RuntimeError("a servicer runs in a task")
            call = _Call(task, context, writers)
            handler: Handler | None = None
            try:
                handler = method({item.key: item.value for item in context.invocation_metadata() or ()}, call)
                await self._converse(call, handler, context)
            except asyncio.CancelledError:
                if not call.is_released:
                    raise
                task.uncancel()
            except Exception as error:
                log.error("a call failed", exc_info=error)
                call.ending = (Status.INTERNAL, "internal error")
            finally:
                call.is_over = True
                if handler is not None:
                    handler.closed(is_cut=not call.is_written)
            ending = call.ending
        if ending is not None and ending[0] is not Status.OK:
            await context.abort(_CODES[ending[0]], ending[1])

    async def _converse(self, call: _Call, handler: Handler, context: Any) -> None:
        while call.ending is None:
            message = await context.read()
            if message is grpc.aio.EOF:
                handler.half_closed()
                await call.flush()
                break
            if len(message) <= LARGE_MESSAGE_BYTES:
                handler.receive(message)
            else:
                await self._in_turn(handler, message)
            del message  # a large one is not kept while its answer is written
            await call.flush()
        if call.ending is None:  # a handler may answer after the end of the messages; its end cancels this task
            await asyncio.get_running_loop().create_future()

    async def _in_turn(self, handler: Handler, message: bytes) -> None:
        """Have one large message read at a time, and leave as much time to the other calls after each."""
        async with self._large_turn:
            began = clock.monotonic()
            with lifecycle.without_collector():
                handler.receive(message)
            await asyncio.sleep(min(clock.monotonic() - began, LONGEST_PAUSE_SECONDS))


@asynccontextmanager
async def serving(
    services: Sequence[Service], address: str, credentials: grpc.ServerCredentials | None, settings: Settings
) -> AsyncIterator[int]:
    """Serve while the body runs; yields the port. What still runs at the end is cut, so drain first."""
    calls = _Calls()
    handlers = [
        _generic_handler(path, method, calls) for service in services for path, method in service.methods.items()
    ]
    async with listening(handlers, address, credentials, server_options(settings)) as port:
        yield port


@asynccontextmanager
async def listening(
    handlers: Sequence[grpc.GenericRpcHandler],
    address: str,
    credentials: grpc.ServerCredentials | None,
    options: Sequence[tuple[str, int]],
) -> AsyncIterator[int]:
    """A server of grpc.aio; yields the port. Raises OSError for an address that cannot be bound."""
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(handlers)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(str(error)) from None
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def _generic_handler(path: str, method: Method, calls: _Calls) -> grpc.GenericRpcHandler:
    """Every kind of call is streams of messages on the wire."""
    _, service, name = path.split("/")

    async def serve(_messages: object, context: Any) -> None:
        await calls.serve(method, context)

    return grpc.method_handlers_generic_handler(service, {name: grpc.stream_stream_rpc_method_handler(serve)})
