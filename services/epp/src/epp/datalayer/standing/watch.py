"""Watches the requests of a pool and turns what becomes of them into signs. Pure; one for each pool.

A request counts against its endpoint while it is still open: once it has waited for its first byte far longer than
others take for a prompt of its length. Where a heartbeat of the access log says that none came, that is certain. Where
nothing says so the answer may be a long one: then it counts once it lasts far longer than whole answers do. An answer
that has begun counts when it comes far slower than others do.
"""

from collections.abc import Callable
from typing import Final

from epp.datalayer.events import AttemptFailed, RequestAlive, RequestPlaced, RequestReported, RequestSettled, TimePassed
from epp.datalayer.placement import Placement
from epp.datalayer.producer import Handlers
from epp.datalayer.standing.attempts import Sign, sign_of_attempt, signs_of
from epp.datalayer.standing.expectation import Expectation
from epp.datalayer.standing.signals import Signal
from epp.domain import EndpointId, Feedback, PickId

# A prompt counts as so many tokens more than it has to compute: what every request takes, however short.
BASE_TOKENS: Final = 1000.0
# A first byte that takes less is never late. An engine under load makes some wait for seconds.
LEAST_FIRST_BYTE_SECONDS: Final = 3.0
# Before the first answer nothing is known of the pool; a large model on few accelerators takes a few seconds.
UNKNOWN_FIRST_BYTE_SECONDS: Final = 10.0
# Answers that take less are never late.
LEAST_ANSWER_SECONDS: Final = 15.0
UNKNOWN_ANSWER_SECONDS: Final = 120.0
# An answer that comes faster than this is never slow: five tokens a second, as events of some 250 bytes.
LEAST_SECONDS_PER_BYTE: Final = 0.2 / 250
# Fewer bytes are no pace, and an answer that took less than this after its first byte may have come in one piece.
PACED_BYTES: Final = 500
PACED_SECONDS: Final = 0.05
_MARGIN: Final = 2.0

Observe = Callable[[Sign, float], None]


class RequestWatch:
    """See the module's docstring. `observe` takes each sign, with the time."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._open: dict[PickId, Placement] = {}  # oldest first, without those that have begun or counted
        self._unbegun: set[PickId] = set()  # of them, those of which a heartbeat said so
        self._first_byte = Expectation(
            least=LEAST_FIRST_BYTE_SECONDS, margin=_MARGIN, unknown=UNKNOWN_FIRST_BYTE_SECONDS
        )
        self._answer = Expectation(least=LEAST_ANSWER_SECONDS, margin=_MARGIN, unknown=UNKNOWN_ANSWER_SECONDS)
        self._byte = Expectation(least=LEAST_SECONDS_PER_BYTE, margin=_MARGIN, unknown=float("inf"))

    def handles(self) -> Handlers:
        """What becomes of requests, and time."""
        return {
            RequestPlaced: self._placed,
            RequestAlive: self._alive,
            AttemptFailed: self._attempt_failed,
            RequestSettled: self._settled,
            RequestReported: self._reported,
            TimePassed: self._time_passed,
        }

    def first_byte_limit(self, placement: Placement) -> float:
        """Seconds after which a first byte is late."""
        return self._first_byte.limit(_size(placement))

    def _placed(self, event: RequestPlaced, now: float) -> None:
        del now
        self._open[event.placement.id] = event.placement

    def _alive(self, event: RequestAlive, now: float) -> None:
        placement, feedback = event.placement, event.feedback
        if self._is_slow(feedback):
            self._forget(placement.id)
            self._observe(_slow(placement.primary.id, placement), now)
        elif placement.id in self._open and feedback.ttft_seconds is not None:
            self._forget(placement.id)
            self._observe(Sign(placement.primary.id, Signal.ANSWERED), now)
        elif placement.id in self._open:
            self._unbegun.add(placement.id)
            self._look(placement, now)

    def _attempt_failed(self, event: AttemptFailed, now: float) -> None:
        sign = sign_of_attempt(event.placement, event.feedback)
        if sign is not None:
            self._observe(sign, now)

    def _settled(self, event: RequestSettled, now: float) -> None:
        del now
        self._forget(event.placement.id)

    def _reported(self, event: RequestReported, now: float) -> None:
        report = event.report
        placement, feedback = report.placement, report.feedback
        is_slow = self._is_slow(feedback)
        for sign in signs_of(report, self.first_byte_limit(placement)):
            is_good = sign.signal is Signal.ANSWERED
            self._observe(_slow(sign.endpoint, placement) if is_good and is_slow else sign, now)
        if report.is_ok and not report.is_elsewhere:
            self._learn(placement, feedback)

    def _learn(self, placement: Placement, feedback: Feedback) -> None:
        if feedback.ttft_seconds is not None:
            self._first_byte.took(feedback.ttft_seconds, _size(placement))
        if feedback.duration_seconds is not None:
            self._answer.took(feedback.duration_seconds)
        pace = _pace(feedback)
        if pace is not None:
            self._byte.took(pace)

    def _is_slow(self, feedback: Feedback) -> bool:
        pace = _pace(feedback)
        return pace is not None and pace > self._byte.limit()

    def _time_passed(self, event: TimePassed, now: float) -> None:
        del event
        late = []
        for placement in self._open.values():
            if now - placement.placed_at < LEAST_FIRST_BYTE_SECONDS:
                break
            if self._is_late(placement, now):
                late.append(placement)
        for placement in late:
            self._count(placement, now)

    def _look(self, placement: Placement, now: float) -> None:
        if self._is_late(placement, now):
            self._count(placement, now)

    def _is_late(self, placement: Placement, now: float) -> bool:
        limit = self.first_byte_limit(placement)
        if placement.id not in self._unbegun:
            limit = max(limit, self._answer.limit())
        return now - placement.placed_at > limit

    def _count(self, placement: Placement, now: float) -> None:
        """Each request counts once."""
        self._forget(placement.id)
        sent_at = placement.placed_at
        self._observe(Sign(placement.primary.id, Signal.SILENT, f"for {now - sent_at:.0f} s", sent_at), now)

    def _forget(self, pick_id: PickId) -> None:
        self._open.pop(pick_id, None)
        self._unbegun.discard(pick_id)


def _slow(endpoint: EndpointId, placement: Placement) -> Sign:
    return Sign(endpoint, Signal.SLOW, "", placement.placed_at)


def _pace(feedback: Feedback) -> float | None:
    """Seconds for each byte after the first one; None where the answer shows no pace."""
    first, seconds = feedback.ttft_seconds, feedback.duration_seconds
    if first is None or seconds is None or seconds - first < PACED_SECONDS:
        return None
    size = feedback.response_bytes or 0
    return (seconds - first) / size if size >= PACED_BYTES else None


def _size(placement: Placement) -> float:
    """How much is to compute before the first byte, 1 for next to nothing."""
    return 1.0 + max(0, placement.prompt_tokens - placement.matched_tokens) / BASE_TOKENS
