"""The HTTP transport: Envoy's ext_authz filter asks about each request over plain HTTP/1.1. An asyncio server.

`HttpExchange` reads and writes the bytes; here are sockets and time. The port is for Envoy alone: any peer that reaches
it can reserve endpoints. Bind it to loopback or to a Unix socket.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from epp.transports.servers.http_connection import Connection, OpenConnections, Shared
from epp.transports.servers.turns import Turns
from gateway.service import lifecycle
from gateway.service.clock import Clock

SWEEP_SECONDS = 1.0
# Requests that are being received or wait when the transport closes have this long; answers leave within it, too.
CLOSING_SECONDS = 1.0
BACKLOG = 1024  # Envoy opens as many connections at once as requests arrive at once


@dataclass(frozen=True, slots=True)
class HttpTransport:
    """Listens, and closes with care."""

    shared: Shared

    @asynccontextmanager
    async def serving(self, host: str, port: int | None, socket: Path | None = None) -> AsyncIterator[int | None]:
        """Listen on TCP, a Unix socket or both; yields the TCP port, which 0 leaves to the system.

        On the way out, what is being received is still answered.
        """
        connections, turns = OpenConnections(), Turns(asyncio.get_running_loop())
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(lifecycle.background(_sweep(connections, self.shared.clock)))
            stack.push_async_callback(_close, connections)
            listen = _Listen(lambda: Connection(self.shared, connections, turns), stack)
            if socket is not None:
                await listen.on_socket(socket)
            yield None if port is None else await listen.on_port(host, port)


@dataclass(frozen=True, slots=True)
class _Listen:
    connect: Callable[[], Connection]
    stack: AsyncExitStack

    async def on_socket(self, path: Path) -> None:
        self.stack.callback(path.unlink, missing_ok=True)
        loop = asyncio.get_running_loop()
        self.stack.callback((await loop.create_unix_server(self.connect, path, backlog=BACKLOG)).close)

    async def on_port(self, host: str, port: int) -> int:
        server = await asyncio.get_running_loop().create_server(self.connect, host, port, backlog=BACKLOG)
        self.stack.callback(server.close)
        bound: int = server.sockets[0].getsockname()[1]
        return bound


async def _sweep(connections: OpenConnections, clock: Clock) -> None:
    """One clock for all connections instead of a timer per request."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = clock()
        for connection in tuple(connections.members):
            connection.sweep(now)


async def _close(connections: OpenConnections) -> None:
    for connection in tuple(connections.members):
        connection.finish()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSING_SECONDS):
            await connections.are_gone()
    for connection in tuple(connections.members):
        connection.abort()
