"""The HTTP door: Envoy's ext_authz filter asks about each request over plain HTTP/1.1. An asyncio shell.

The bytes are `HttpExchange`'s affair; here are sockets, time and the brain. One answer is one write. A pick whose
answer nobody took is settled as unused; the others are settled by the access log, or expire.

In a crowd, connections wait for their turn, so that picks do not starve what else lives on the loop: the access log
that releases them, scrapes, health checks. A connection that is lost while it waits is not asked about: that is how
Envoy says that it gave up. A brain that itself makes requests wait would answer later through `_Connection.answer`.

The port is for Envoy alone: whoever reaches it can reserve endpoints. Bind it to loopback or to a Unix socket.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from epp.domain import Outcome, Pick, PickId, Request, Verdict
from epp.transports.http import body as http_body
from epp.transports.http.exchange import BodyCheck, HealthCheck, HttpExchange, Limits
from gateway.service import lifecycle
from gateway.service.clock import Clock
from gateway.wire.errors import Rejection

SWEEP_SECONDS = 1.0
# A connection that is closed this soon after an answer was left by an Envoy that had given up; one that took the answer
# keeps the connection. Longer than a busy loop needs to come round, shorter than any idle time.
GONE_SECONDS = 0.1
# Questions that are being received when the door closes have this long; answers leave within it, too.
CLOSING_SECONDS = 1.0
# So many connections are answered in one round of the loop: about two milliseconds of picking.
TURNS = 16
BACKLOG = 1024  # Envoy opens as many connections at once as requests arrive at once


class Brain(Protocol):
    """The part of the picker that this door needs."""

    def pick(self, request: Request, now: float) -> Verdict:
        """Decide."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """The pick is over."""


class Observer(Protocol):
    """What an operator counts."""

    def answered(self, status: int) -> None:
        """One answer; refusals under their own status, however they travel."""


BaseModels = Callable[[], Mapping[str, str]]


def no_base_models() -> Mapping[str, str]:
    """A door that does not do the body-based router's work."""
    return {}


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """What every connection shares. `base_models` gives the present adapter names with their base models."""

    brain: Brain
    clock: Clock
    observer: Observer
    base_models: BaseModels = no_base_models
    is_ready: Callable[[], bool] = lambda: True
    limits: Limits = field(default_factory=Limits)

    @asynccontextmanager
    async def serving(self, host: str, port: int | None, socket: Path | None = None) -> AsyncIterator[int | None]:
        """Listen on TCP, a Unix socket or both; yields the TCP port, which 0 leaves to the system.

        On the way out, what is being received is still answered.
        """
        connections = _OpenConnections(asyncio.get_running_loop())
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(lifecycle.background(_sweep(connections, self.clock)))
            stack.push_async_callback(_close, connections)
            yield await self._listen(lambda: _Connection(self, connections), stack, host, port, socket)

    async def _listen(
        self,
        connect: "Callable[[], _Connection]",
        stack: AsyncExitStack,
        host: str,
        port: int | None,
        socket: Path | None,
    ) -> int | None:
        loop = asyncio.get_running_loop()
        if socket is not None:
            stack.callback(socket.unlink, missing_ok=True)
            stack.callback((await loop.create_unix_server(connect, socket, backlog=BACKLOG)).close)
        if port is None:
            return None
        server = await loop.create_server(connect, host, port, backlog=BACKLOG)
        stack.callback(server.close)
        bound: int = server.sockets[0].getsockname()[1]
        return bound


class _OpenConnections:
    """All connections of the door, and whose turn it is."""

    __slots__ = ("_are_gone", "_is_scheduled", "_loop", "_taken", "_waiting", "members")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.members: set[_Connection] = set()
        self._loop = loop
        self._are_gone = asyncio.Event()
        self._waiting: deque[_Connection] = deque()  # each connection at most once
        self._taken = 0  # turns since the last round that was waited for
        self._is_scheduled = False

    def has_turn(self, connection: "_Connection") -> bool:
        """Whether it may go on now; otherwise it is called when its turn comes.

        Turns are counted on until they run out, and only then is a round of the loop waited for: a lone asker pays
        for none.
        """
        if self._taken < TURNS:
            self._taken += 1
            return True
        self._waiting.append(connection)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._next_round)
        return False

    def _next_round(self) -> None:
        self._taken = min(len(self._waiting), TURNS)
        for _ in range(self._taken):
            self._waiting.popleft().take_turn()
        self._is_scheduled = bool(self._waiting)
        if self._is_scheduled:
            self._loop.call_soon(self._next_round)

    def discard(self, connection: "_Connection") -> None:
        self.members.discard(connection)
        if not self.members:
            self._are_gone.set()

    async def are_gone(self) -> None:
        """Wait until the last one is closed."""
        while self.members:
            self._are_gone.clear()
            await self._are_gone.wait()


class _Connection(asyncio.Protocol):
    """One connection from Envoy."""

    __slots__ = (
        "_answered_at", "_connections", "_door", "_exchange", "_lingers_until", "_picks", "_stuck_since", "_transport",
        "_waits_for_turn",
    )  # fmt: skip

    def __init__(self, door: HttpDoor, connections: _OpenConnections) -> None:
        self._door = door
        self._connections = connections
        self._exchange = HttpExchange(door.limits, door.base_models, door.clock())
        self._transport: asyncio.Transport | None = None
        self._picks: list[PickId] = []  # of the last answers, until Envoy is heard of again
        self._answered_at = 0.0
        self._waits_for_turn = False
        self._stuck_since: float | None = None  # while a peer that does not read holds up our bytes
        self._lingers_until: float | None = None  # the last answer is given, the peer is to close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._connections.members) >= self._door.limits.connections:
            self._transport.abort()
            return
        self._connections.members.add(self)

    def data_received(self, data: bytes) -> None:
        if self._lingers_until is not None:
            return
        if self._picks:
            self._picks = []
        now = self._door.clock()
        self._exchange.receive(data, now)
        if not self._waits_for_turn:
            if self._connections.has_turn(self):
                self._proceed(now)
            else:
                self._waits_for_turn = True

    def eof_received(self) -> bool:
        """Envoy closes in one go; whoever closes one side only is gone for us, too."""
        return False

    def pause_writing(self) -> None:
        self._stuck_since = self._door.clock()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck_since = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # how it went down does not matter
        self._connections.discard(self)
        self._transport = None
        now = self._door.clock()
        if self._stuck_since is not None or now - self._answered_at < GONE_SECONDS:
            for pick in self._picks:
                self._door.brain.settle(pick, Outcome.UNUSED, now)
        self._picks = []

    def answer(self, verdict: Verdict, now: float) -> None:
        """Say what the brain decided on the request that waits."""
        can_leave = self._exchange.answer(verdict)
        self._door.observer.answered(verdict.status if isinstance(verdict, Rejection) else 200)
        if not isinstance(verdict, Pick):
            return
        if can_leave:
            self._picks.append(verdict.id)
        else:
            self._door.brain.settle(verdict.id, Outcome.UNUSED, now)

    def take_turn(self) -> None:
        """Go on, after a wait; unless nobody waits any more."""
        self._waits_for_turn = False
        if self._transport is not None and not self._transport.is_closing():
            self._proceed(self._door.clock())

    def sweep(self, now: float) -> None:
        """Let time pass."""
        if self._transport is None or self._waits_for_turn:
            return
        is_stuck = self._stuck_since is not None and now - self._stuck_since >= self._door.limits.request_seconds
        if is_stuck or (self._lingers_until is not None and now >= self._lingers_until):
            self._transport.abort()
        else:
            self._exchange.expire(now)
            self._write(now)

    def finish(self) -> None:
        """Take no further request; one that is being received is still answered."""
        self._exchange.close_after_this()
        if not self._waits_for_turn:
            self._write(self._door.clock())

    def abort(self) -> None:
        """Let go."""
        if self._transport is not None:
            self._transport.abort()

    def _proceed(self, now: float) -> None:
        """Answer whatever is complete, with one write."""
        exchange = self._exchange
        while (asked := exchange.advance()) is not None:
            match asked:
                case HealthCheck():
                    exchange.answer_health(self._door.is_ready())
                case BodyCheck():
                    self._check(asked)
                case Request():
                    self.answer(self._door.brain.pick(asked, now), now)
        self._write(now)

    def _check(self, asked: BodyCheck) -> None:
        objection = http_body.objection(asked.headers, asked.body)
        self._exchange.answer_check(objection)
        self._door.observer.answered(200 if objection is None else objection.status)

    def _write(self, now: float) -> None:
        transport, exchange = self._transport, self._exchange
        if transport is None or transport.is_closing():
            return
        output = exchange.take_output()
        if output:
            self._answered_at = now
            transport.write(output)
        if exchange.is_finished and self._lingers_until is None:
            self._end(transport, now, said_something=bool(output))

    def _end(self, transport: asyncio.Transport, now: float, *, said_something: bool) -> None:
        if self._exchange.broken_with is not None:
            self._door.observer.answered(self._exchange.broken_with.status)
        if said_something and not transport.is_closing():
            self._answered_at = 0.0  # the peer closes now because it was told to
            self._lingers_until = now + self._door.limits.linger_seconds
            transport.write_eof()
        else:
            transport.close()


async def _sweep(connections: _OpenConnections, clock: Clock) -> None:
    """One clock for all connections instead of a timer per request."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = clock()
        for connection in tuple(connections.members):
            connection.sweep(now)


async def _close(connections: _OpenConnections) -> None:
    for connection in tuple(connections.members):
        connection.finish()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSING_SECONDS):
            await connections.are_gone()
    for connection in tuple(connections.members):
        connection.abort()
