"""The sockets of the transport on nghttp2: asyncio reads and writes, `Connection` decides.

One turn of `data_received` reads, handles and writes: no task per stream. When the socket takes no more, what is to be
sent stays in the engine and nothing is read, so that a peer that does not read cannot ask for more.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

from gateway.rpc import limits
from gateway.rpc.calls import Method, Service
from gateway.rpc.connection import Connection, Shared
from gateway.rpc.limits import Settings
from gateway.service import logs
from gateway.service.clock import Clock
from gateway.service.turns import LargeTurns

log = logs.get(__name__)

# A proxy opens as many connections at once as it has workers.
BACKLOG = 1024
# Calls that still owe something when the server closes have this long.
GRACE_SECONDS = 1.0
# Sockets have this long to take the last bytes.
CLOSING_SECONDS = 0.5
# Of both families, as gRPC takes it.
EVERY_ADDRESS = "::"
# One write of the loop; a connection that has more to send waits for the socket.
HIGH_WATER_BYTES = 256 * limits.KIB


class Reports:
    """Writes what a person should know to the log."""

    def handler_failed(self, error: Exception) -> None:
        """A service's handler raised."""
        log.error("a call failed", exc_info=error)

    def abused(self) -> None:
        """A connection was ended."""
        log.warning("a connection was ended: its peer sends frames without work, or takes no answers")


class Peers:
    """The open connections of a server."""

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self.shared = shared
        self.loop = loop
        self.sockets: set[Socket] = set()
        self._has_changed = asyncio.Event()
        self._is_closing = False

    def changed(self) -> None:
        """A connection had something to do, or is gone."""
        if self._is_closing:
            self._has_changed.set()

    async def close(self) -> None:
        """GOAWAY; calls that owe something may end; then all end."""
        self._is_closing = True
        for each in tuple(self.sockets):
            each.announce_end()
        await self._wait(lambda: all(each.is_at_rest for each in self.sockets), GRACE_SECONDS)
        for each in tuple(self.sockets):
            each.end()
        await self._wait(lambda: not self.sockets, CLOSING_SECONDS)
        for each in tuple(self.sockets):
            each.abort()

    async def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._has_changed.clear()
                    await self._has_changed.wait()


class Socket(asyncio.Protocol):
    """One connection on the loop."""

    __slots__ = ("_clock", "_connection", "_is_full", "_is_scheduled", "_peers", "_timer", "_timer_at", "_transport")

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._clock: Clock = peers.loop.time
        self._connection = Connection(peers.shared, self._wake, peers.loop.time())
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._is_full = self._is_scheduled = False

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = opened = cast("asyncio.Transport", transport)
        secured = opened.get_extra_info("ssl_object")
        if len(self._peers.sockets) >= limits.CONNECTIONS or (secured and secured.selected_alpn_protocol() != "h2"):
            opened.abort()
            return
        opened.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._peers.sockets.add(self)
        self._flush()
        self._set_timer()

    def data_received(self, data: bytes) -> None:
        self._connection.receive(data, self._clock())
        self._advance()

    def eof_received(self) -> bool:
        """A peer that closes one side is gone."""
        return False

    def pause_writing(self) -> None:
        self._is_full = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        self._advance()
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # how it went down does not matter
        self._transport = None
        self._peers.sockets.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._connection.lost()
        self._peers.changed()

    # Called by the server.

    @property
    def is_at_rest(self) -> bool:
        return self._connection.is_at_rest

    def announce_end(self) -> None:
        """GOAWAY, and go on."""
        self._connection.announce_end()
        self._flush()

    def end(self) -> None:
        """End every call, and the connection when that is written."""
        self._connection.end()
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Let go."""
        if self._transport is not None:
            self._transport.abort()

    # Rounds.

    def _wake(self) -> None:
        """Answers have come up outside of a round; those of one round of the loop leave in one write."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._peers.loop.call_soon(self._advance_scheduled)

    def _advance_scheduled(self) -> None:
        self._is_scheduled = False
        if self._transport is not None:
            self._advance()
            self._read_on()

    def _advance(self) -> None:
        connection = self._connection
        if connection.has_more:
            connection.advance(self._clock())
        self._flush()
        if connection.has_more and self._transport is not None:
            self._transport.pause_reading()
            self._wake()
        if connection.due_at < self._timer_at:
            self._set_timer()
        self._peers.changed()

    def _read_on(self) -> None:
        transport = self._transport
        if transport is not None and not (self._is_full or self._connection.has_more or transport.is_closing()):
            transport.resume_reading()

    def _flush(self) -> None:
        transport, connection = self._transport, self._connection
        if transport is None or transport.is_closing():
            return
        if not self._is_full:
            output = connection.take_output()
            if output:
                transport.write(output)
        if connection.is_finished:
            transport.close()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._connection.due_at
        self._timer = self._peers.loop.call_at(self._timer_at, self._expire)

    def _expire(self) -> None:
        connection = self._connection
        connection.expire(self._clock())
        if connection.is_finished:
            self.abort()
        else:
            self._flush()
            self._set_timer()


def methods_of(services: Sequence[Service]) -> Mapping[str, Method]:
    """All methods by path."""
    return {path: method for service in services for path, method in service.methods.items()}


@asynccontextmanager
async def serving(
    services: Sequence[Service], address: str, context: ssl.SSLContext | None, settings: Settings
) -> AsyncIterator[int]:
    """Serve while the body runs; yields the port, 0 for a Unix socket."""
    loop = asyncio.get_running_loop()
    turns = LargeTurns(loop)
    peers = Peers(Shared(methods_of(services), Reports(), turns.add, settings=settings), loop)
    server = await _listen(lambda: Socket(peers), address, context)
    try:
        name = server.sockets[0].getsockname()
        yield name[1] if isinstance(name, tuple) else 0
    finally:
        server.close()
        await peers.close()
        if address.startswith("unix:"):
            _path(address).unlink(missing_ok=True)


async def _listen(connect: Callable[[], Socket], address: str, context: ssl.SSLContext | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if address.startswith("unix:"):
        return await loop.create_unix_server(connect, _path(address), ssl=context, backlog=BACKLOG)
    text, _, port = address.rpartition(":")
    host = text.strip("[]")
    if host == EVERY_ADDRESS:
        both = socket.create_server((host, int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        return await loop.create_server(connect, sock=both, ssl=context, backlog=BACKLOG)
    return await loop.create_server(connect, host, int(port), ssl=context, backlog=BACKLOG)


def _path(address: str) -> Path:
    return Path(address.removeprefix("unix:"))
