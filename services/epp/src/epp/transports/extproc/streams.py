"""The ext_proc streams that are open now, and the feedback of those that ended. One per process. Pure.

An open stream is its request's heartbeat: the picker reads all of them each second. Feedback from a response waits for
a moment after the end of its stream. Envoy opens the stream of its access log with the first entry, so that the first
requests of a picker end before it can know of a log, which reports more. The picker keeps to whichever comes first.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

from epp.domain import Feedback, PickId
from epp.transports.picker import FeedbackSink
from gateway.wire.errors import Rejection

# Envoy writes its access log within 10 ms; the rest is for a busy host.
GRACE_SECONDS = 1.0
# Feedback that waits, as much as the ledger keeps settled picks for; beyond this the oldest is reported early.
WAITING_LIMIT = 4096


class Stream(Protocol):
    """One open stream."""

    def end(self, rejection: Rejection, now: float) -> None:
        """Cut the answer that is on its way."""


class OpenStreams:
    """What all conversations share. `is_logged`: whether an access log reports the requests that end now."""

    __slots__ = ("_sink", "_streams", "_waiting", "is_logged")

    def __init__(self, sink: FeedbackSink, is_logged: Callable[[], bool]) -> None:
        self._sink = sink
        self._streams: dict[PickId, Stream] = {}
        self._waiting: deque[tuple[Feedback, float]] = deque()
        self.is_logged = is_logged

    @property
    def picks(self) -> Collection[PickId]:
        """The picks whose streams are open."""
        return self._streams.keys()

    def opened(self, pick_id: PickId, stream: Stream) -> None:
        """A stream's request got its pick."""
        self._streams[pick_id] = stream

    def closed(self, pick_id: PickId) -> None:
        """That stream is over."""
        self._streams.pop(pick_id, None)

    def end(self, pick_id: PickId, rejection: Rejection, now: float) -> None:
        """Cut the answer of a pick, if its stream is open."""
        stream = self._streams.get(pick_id)
        if stream is not None:
            stream.end(rejection, now)

    def begun(self, feedback: Feedback, now: float) -> None:
        """An answer told at its beginning what cannot wait for its end."""
        self._sink.observe(feedback, now)

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
