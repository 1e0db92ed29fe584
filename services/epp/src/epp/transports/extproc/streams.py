"""The ext_proc streams that are open now, and what the responses on closed ones told. One per process. Pure.

An open stream is its request's heartbeat: the picker asks for all of them each second. What a response told waits for
a moment after its stream's end. Envoy opens the stream of its access log with the first entry, so that the first
requests of a picker end before it can know of a log, which tells more. The brain keeps to whichever it hears first.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

from epp.domain import Feedback, PickId

# Envoy writes its access log within 10 ms; the rest is for a busy host.
GRACE_SECONDS = 1.0
# Responses that wait, as many as the ledger keeps settled picks for; beyond this the oldest is told early.
WAITING_LIMIT = 4096


class Brain(Protocol):
    """The part of the picker that hears of ends."""

    def feedback(self, feedback: Feedback, now: float) -> None:
        """How a request went."""


class OpenStreams:
    """What all conversations share. `is_logged` says whether an access log tells of the requests that end now."""

    __slots__ = ("_brain", "_picks", "_waiting", "is_logged")

    def __init__(self, brain: Brain, is_logged: Callable[[], bool]) -> None:
        self._brain = brain
        self._picks: set[PickId] = set()
        self._waiting: deque[tuple[Feedback, float]] = deque()
        self.is_logged = is_logged

    @property
    def picks(self) -> Collection[PickId]:
        """The picks that have not ended, by their streams."""
        return self._picks

    def opened(self, pick_id: PickId) -> None:
        """A stream's request got its pick."""
        self._picks.add(pick_id)

    def closed(self, pick_id: PickId) -> None:
        """That stream is over."""
        self._picks.discard(pick_id)

    def told(self, feedback: Feedback, now: float) -> None:
        """A response said how a request went."""
        self._waiting.append((feedback, now))
        if len(self._waiting) > WAITING_LIMIT:
            self._report_oldest(now)

    def report(self, now: float) -> None:
        """Let time pass: what has waited long enough is told."""
        while self._waiting and now - self._waiting[0][1] >= GRACE_SECONDS:
            self._report_oldest(now)

    def _report_oldest(self, now: float) -> None:
        feedback, _ = self._waiting.popleft()
        self._brain.feedback(feedback, now)
