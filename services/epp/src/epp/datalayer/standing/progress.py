"""Watches whether engines compute: a frozen one may answer for its health and its metrics. Pure; one for each pool.

An engine counts the tokens of its steps. It is frozen while that count stands still although it says that it runs
requests, or although requests were sent there since the count last moved. Requests that it has computed, and whose
clients are slow to read, are no sign: their tokens were counted after they came. Nothing moves while it gets no
requests, so after a while it gets one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from epp.datalayer.events import (
    EndpointJoined,
    EndpointLeft,
    RequestPlaced,
    RequestReported,
    RequestSettled,
    Scraped,
)
from epp.datalayer.placement import Placement
from epp.datalayer.producer import Handlers
from epp.datalayer.standing.attempts import Sign
from epp.datalayer.standing.signals import Signal
from epp.domain import EngineMetrics, PickId

# One step of an engine that says it runs takes less, the prefill of a long prompt and loading an adapter included.
LONGEST_STEP_SECONDS: Final = 5.0
# So long may several requests be on their way into an engine that says it runs nothing.
LONGEST_ENTRY_SECONDS: Final = 3.0
# A single one may be a picture that the server still loads.
LONGEST_SINGLE_ENTRY_SECONDS: Final = 6.0
# From being found frozen until it is tried again, though it may still hold requests that nobody ends.
RETRY_SECONDS: Final = 10.0

Observe = Callable[[Sign, float], None]


@dataclass(slots=True)
class _Engine:
    """One endpoint's count of tokens, when it moved, and which requests it has, by the time they were sent."""

    moved_at: float
    tokens: float | None = None
    held: dict[PickId, float] = field(default_factory=dict)
    frozen_at: float | None = None

    def counted(self, tokens: float, now: float) -> bool:
        """Take a count; whether it moved."""
        has_moved = tokens != self.tokens
        if has_moved:
            self.tokens, self.moved_at = tokens, now
        return has_moved

    def stands_still(self, metrics: EngineMetrics, now: float) -> bool:
        """Whether it should have computed something by now."""
        if not self.held or now - self.moved_at < LONGEST_ENTRY_SECONDS:
            return False
        if metrics.running and now - max(self.moved_at, min(self.held.values())) >= LONGEST_STEP_SECONDS:
            return True
        waiting = [now - at for at in self.held.values() if at > self.moved_at]
        if not waiting:
            return False
        is_old = [seconds for seconds in waiting if seconds >= LONGEST_ENTRY_SECONDS]
        return len(is_old) > 1 or max(waiting) >= LONGEST_SINGLE_ENTRY_SECONDS


class ProgressWatch:
    """See the module's docstring. `observe` takes each sign, with the time."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._engines: dict[int, _Engine] = {}

    def handles(self) -> Handlers:
        """Scrapes, and which requests are where."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            Scraped: self._scraped,
            RequestPlaced: self._placed,
            RequestSettled: self._settled,
            RequestReported: self._reported,
        }

    def _joined(self, event: EndpointJoined, now: float) -> None:
        self._engines[event.member.slot] = _Engine(now)

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        self._engines.pop(event.member.slot, None)

    def _scraped(self, event: Scraped, now: float) -> None:
        metrics, member = event.metrics, event.member
        if metrics.computed_tokens is None:
            return
        engine = self._engines[member.slot]
        has_moved = engine.counted(metrics.computed_tokens, now)
        if engine.frozen_at is None:
            if engine.stands_still(metrics, now):
                engine.frozen_at = now
                self._observe(Sign(member.id, Signal.FROZEN, f"for {now - engine.moved_at:.0f} s"), now)
        elif has_moved or not engine.held or now - engine.frozen_at >= RETRY_SECONDS:
            engine.frozen_at, engine.moved_at = None, now
            self._observe(Sign(member.id, Signal.COMPUTES if has_moved else Signal.RETRIED), now)

    def _placed(self, event: RequestPlaced, now: float) -> None:
        engine = self._engine_of(event.placement)
        if engine is not None:
            engine.held[event.placement.id] = now

    def _settled(self, event: RequestSettled, now: float) -> None:
        del now
        engine = self._engine_of(event.placement)
        if engine is not None:
            engine.held.pop(event.placement.id, None)

    def _reported(self, event: RequestReported, now: float) -> None:
        """An answer shows that it computes, whatever its metrics say."""
        report = event.report
        if report.is_ok and report.served is not None:
            self._engines[report.served.slot].moved_at = now

    def _engine_of(self, placement: Placement) -> _Engine | None:
        """Where the request is computed at once. One with legs waits for the other leg's engine first."""
        return None if placement.has_legs else self._engines.get(placement.primary.slot)
