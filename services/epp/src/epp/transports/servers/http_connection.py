"""One connection of the HTTP transport on asyncio: bytes go to the machine, its questions to the picker.

One answer is one write. A pick whose answer was not taken is settled as unused; the others are settled by the access
log, or expire. A request that waits is cancelled when its connection is lost, which is how Envoy gives up; a late
verdict is answered in the request's turn, and what came behind it on the connection waits until then.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from epp.domain import Outcome, Pick, PickId, Request, Ticket, Verdict
from epp.transports.http import body as http_body
from epp.transports.http.exchange import BodyCheck, HealthCheck, HttpExchange
from epp.transports.http.limits import Limits
from epp.transports.picker import RequestPicker
from epp.transports.servers.turns import Turns
from gateway.rpc.limits import LARGE_MESSAGE_BYTES
from gateway.service.clock import Clock
from gateway.wire.errors import Rejection

# A connection that is closed this soon after an answer was left by an Envoy that had given up; one that took the answer
# keeps the connection. Longer than a busy loop needs to come round, shorter than any idle time.
GONE_SECONDS = 0.1

BaseModels = Callable[[], Mapping[str, str]]


class AnswerMetrics(Protocol):
    """What an operator counts."""

    def answered(self, status: int) -> None:
        """One answer; refusals under their own status, however they travel."""


def no_base_models() -> Mapping[str, str]:
    """For a transport that does not do the body-based router's work."""
    return {}


def always_ready() -> bool:
    """For a transport that serves nothing else."""
    return True


@dataclass(frozen=True, slots=True)
class Shared:
    """What every connection needs. `base_models` gives the present adapter names with their base models."""

    picker: RequestPicker
    clock: Clock
    metrics: AnswerMetrics
    base_models: BaseModels = field(default=no_base_models, kw_only=True)
    is_ready: Callable[[], bool] = field(default=always_ready, kw_only=True)
    limits: Limits = field(default_factory=Limits, kw_only=True)


class OpenConnections:
    """All connections of the transport."""

    __slots__ = ("_are_gone", "members")

    def __init__(self) -> None:
        self.members: set[Connection] = set()
        self._are_gone = asyncio.Event()

    def discard(self, connection: "Connection") -> None:
        self.members.discard(connection)
        if not self.members:
            self._are_gone.set()

    async def are_gone(self) -> None:
        """Wait until the last one is closed."""
        while self.members:
            self._are_gone.clear()
            await self._are_gone.wait()


class Connection(asyncio.Protocol):
    """One connection from Envoy, and the `Waiter` of its request that waits."""

    __slots__ = (
        "_answered_at", "_connections", "_exchange", "_is_held_up", "_lingers_until", "_picks", "_shared",
        "_stuck_since", "_ticket", "_transport", "_turns", "_verdict", "_waits_for_turn",
    )  # fmt: skip

    def __init__(self, shared: Shared, connections: OpenConnections, turns: Turns) -> None:
        self._shared = shared
        self._connections = connections
        self._turns = turns
        self._exchange = HttpExchange(shared.limits, shared.base_models, shared.clock())
        self._transport: asyncio.Transport | None = None
        self._ticket: Ticket | None = None  # of the request that waits
        self._verdict: Verdict | None = None  # decided late, and not yet answered
        self._picks: list[PickId] = []  # of the last answers, until Envoy sends again
        self._answered_at = 0.0
        self._waits_for_turn = False
        self._is_held_up = False  # a large body stays with the peer while others arrive
        self._stuck_since: float | None = None  # while a peer that does not read holds up our bytes
        self._lingers_until: float | None = None  # the last answer is given, the peer is to close

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._connections.members) >= self._shared.limits.connections:
            self._transport.abort()
            return
        self._connections.members.add(self)

    def data_received(self, data: bytes) -> None:
        if self._lingers_until is not None:
            return
        if self._picks:
            self._picks = []
        now = self._shared.clock()
        self._exchange.receive(data, now)
        if self._exchange.is_overrun:
            self.abort()
        else:
            self._proceed_in_turn(now)
            self._hold_up()

    def eof_received(self) -> bool:
        """Envoy closes both sides at once; a peer that closes one side counts as gone, too."""
        return False

    def pause_writing(self) -> None:
        self._stuck_since = self._shared.clock()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck_since = None
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # how it went down does not matter
        self._connections.discard(self)
        self._transport = None
        self._turns.bodies.leave(self)
        now = self._shared.clock()
        if self._ticket is not None:
            self._shared.picker.cancel(self._ticket, now)
            self._ticket = None
        if self._stuck_since is not None or now - self._answered_at < GONE_SECONDS:
            for pick in self._picks:
                self._unused(pick, now)
        self._picks = []

    # Called by the picker

    def decide(self, verdict: Verdict, now: float) -> None:
        """Take the verdict on the request that waits. It is answered in the next round: the picker is busy now."""
        del now
        self._ticket, self._verdict = None, verdict
        asyncio.get_running_loop().call_soon(self._answer_late)

    # Called by the server

    def sweep(self, now: float) -> None:
        """Let time pass."""
        if self._transport is None or self._waits_for_turn or self._is_held_up:
            return
        is_stuck = self._stuck_since is not None and now - self._stuck_since >= self._shared.limits.request_seconds
        if is_stuck or (self._lingers_until is not None and now >= self._lingers_until):
            self._transport.abort()
        else:
            self._exchange.expire(now)
            self._write(now)

    def finish(self) -> None:
        """Take no further request; one that is being received, or waits, is still answered."""
        self._exchange.close_after_this()
        if not self._waits_for_turn:
            self._write(self._shared.clock())

    def abort(self) -> None:
        """Let go."""
        if self._transport is not None:
            self._transport.abort()

    # Called when it is this connection's turn

    def take_turn(self) -> None:
        """Receive the rest of a large body."""
        self._is_held_up = False
        self._exchange.restart_clock(self._shared.clock())
        self._read_on()

    def _proceed_after_wait(self) -> None:
        """For a connection that was lost meanwhile no endpoint is picked."""
        self._waits_for_turn = False
        if self._transport is not None and not self._transport.is_closing():
            self._proceed(self._shared.clock())
            if not self._has_large_body:
                self._turns.bodies.leave(self)

    # Questions and answers

    @property
    def _has_large_body(self) -> bool:
        """A large body is being received, or waits to be read."""
        return self._exchange.body_bytes > LARGE_MESSAGE_BYTES

    def _hold_up(self) -> None:
        """Few large bodies are received at a time; what the others have still to send stays with Envoy."""
        is_partial = self._has_large_body and not self._exchange.has_body
        if not is_partial or self._turns.bodies.has_turn(self):
            return
        self._is_held_up = True
        if self._transport is not None:
            self._transport.pause_reading()

    def _read_on(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._is_held_up or self._stuck_since is not None:
            return
        transport.resume_reading()

    def _proceed_in_turn(self, now: float) -> None:
        if self._waits_for_turn:
            return
        is_large = self._has_large_body and self._exchange.has_body
        if is_large:
            self._turns.add_large(self._proceed_after_wait)
        if not is_large and self._turns.take(self._proceed_after_wait):
            self._proceed(now)
        else:
            self._waits_for_turn = True

    def _proceed(self, now: float) -> None:
        """Answer whatever is complete, with one write. One that cannot be judged has no answer, so that Envoy need not
        wait for it."""
        try:
            self._answer_complete(now)
        except Exception:
            self.abort()
            raise
        self._write(now)

    def _answer_complete(self, now: float) -> None:
        exchange = self._exchange
        while (question := exchange.advance()) is not None:
            match question:
                case HealthCheck():
                    exchange.answer_health(is_ready=self._shared.is_ready())
                case BodyCheck():
                    self._check(question)
                case Request():
                    self._submit(question, now)

    def _check(self, question: BodyCheck) -> None:
        objection = http_body.objection(question.headers, question.body)
        self._exchange.answer_check(objection)
        self._shared.metrics.answered(200 if objection is None else objection.status)

    def _submit(self, request: Request, now: float) -> None:
        match self._shared.picker.submit(request, self, now):
            case Ticket() as ticket:
                self._ticket = ticket
            case verdict:
                self._answer(verdict, now)

    def _answer(self, verdict: Verdict, now: float) -> None:
        can_leave = self._exchange.answer(verdict)
        self._shared.metrics.answered(verdict.status if isinstance(verdict, Rejection) else 200)
        if not isinstance(verdict, Pick):
            return
        if can_leave:
            self._picks.append(verdict.id)
        else:
            self._unused(verdict.id, now)

    def _answer_late(self) -> None:
        verdict, self._verdict = self._verdict, None
        now = self._shared.clock()
        if verdict is None:
            return
        if self._transport is not None and not self._transport.is_closing():
            self._answer(verdict, now)
            self._write(now)
            self._proceed_in_turn(now)
        elif isinstance(verdict, Pick):
            self._unused(verdict.id, now)

    def _unused(self, pick: PickId, now: float) -> None:
        self._shared.picker.settle(pick, Outcome.UNUSED, now)

    def _write(self, now: float) -> None:
        transport, exchange = self._transport, self._exchange
        if transport is None or transport.is_closing():
            return
        output = exchange.take_output()
        if output:
            self._answered_at = now
            transport.write(output)
        if exchange.is_finished and self._lingers_until is None:
            self._end(transport, now, has_written=bool(output))

    def _end(self, transport: asyncio.Transport, now: float, *, has_written: bool) -> None:
        if self._exchange.broken_with is not None:
            self._shared.metrics.answered(self._exchange.broken_with.status)
        if has_written and not transport.is_closing():
            self._answered_at = 0.0  # the peer closes now because the answer says so
            self._lingers_until = now + self._shared.limits.linger_seconds
            transport.write_eof()
        else:
            transport.close()
