"""The ext_proc streams that are open now, and the feedback of those that ended. One per process. Pure.

An open stream is its request's heartbeat: the picker reads all of them each second. Feedback from a response waits for
a moment after the end of its stream. Envoy opens the stream of its access log with the first entry, so that the first
requests of a picker end before it can know of a log, which reports more. The picker keeps to whichever comes first.
"""

from collections import deque
from collections.abc import Callable, Collection

from epp.domain import Feedback, PickId
from epp.transports.picker import FeedbackSink

# Envoy writes its access log within 10 ms; the rest is for a busy host.
GRACE_SECONDS = 1.0
# Feedback that waits, as much as the ledger keeps settled picks for; beyond this the oldest is reported early.
WAITING_LIMIT = 4096


class OpenStreams:
    """What all conversations share. `is_logged`: whether an access log reports the requests that end now."""

    __slots__ = ("_picks", "_sink", "_waiting", "is_logged")

    def __init__(self, sink: FeedbackSink, is_logged: Callable[[], bool]) -> None:
        self._sink = sink
        self._picks: set[PickId] = set()
        self._waiting: deque[tuple[Feedback, float]] = deque()
        self.is_logged = is_logged

    @property
    def picks(self) -> Collection[PickId]:
        """The picks whose streams are open."""
        return self._picks

    def opened(self, pick_id: PickId) -> None:
        """A stream's request got its pick."""
        self._picks.add(pick_id)

    def closed(self, pick_id: PickId) -> None:
        """That stream is over."""
        self._picks.discard(pick_id)

    def observed(self, feedback: Feedback, now: float) -> None:
        """The response phases of a stream gave feedback."""
        self._waiting.append((feedback, now))
        if len(self._waiting) > WAITING_LIMIT:
            self._report_oldest(now)

    def report(self, now: float) -> None:
        """Let time pass: what has waited long enough goes to the picker."""
        while self._waiting and now - self._waiting[0][1] >= GRACE_SECONDS:
            self._report_oldest(now)

    def _report_oldest(self, now: float) -> None:
        feedback, _ = self._waiting.popleft()
        self._sink.observe(feedback, now)
