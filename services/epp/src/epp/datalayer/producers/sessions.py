"""Sessions: which endpoint a session is bound to, by its id, on all replicas. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from epp.datalayer.events import Configured, EndpointJoined, EndpointLeft, RequestPlaced, RequestReported, TimePassed
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.session_map import Binding, Sessions, key_of
from epp.datalayer.shared import ALONE, Shared
from epp.domain import EndpointId, SessionBound

_UNBOUND = EndpointId("")


class SessionProducer:
    """Binds the session of each placement to the endpoint that answers it."""

    def __init__(self, shared: Shared = ALONE) -> None:
        self.sessions = Sessions()
        self._shared = shared
        self._ids: dict[int, EndpointId] = {}
        self._seconds = 0.0

    def handles(self) -> Handlers:
        """Placements here, bindings elsewhere, and time."""
        return {
            Configured: self._configured,
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            RequestPlaced: self._placed,
            RequestReported: self._reported,
            SessionBound: self._bound_elsewhere,
            TimePassed: self._time_passed,
        }

    def columns(self) -> Mapping[str, Column]:
        """Which candidate the request's session is bound to; none of them where it is not."""
        return {"session_bound": self._bound}

    def _bound(self, placing: Placing, slots: Sequence[int]) -> Sequence[bool]:
        bound = self.sessions.endpoint(placing.session, placing.now) if placing.session else None
        return [False] * len(slots) if bound is None else [self._ids.get(slot, _UNBOUND) == bound for slot in slots]

    def _configured(self, event: Configured, now: float) -> None:
        del now
        self._seconds = event.session_seconds

    def _joined(self, event: EndpointJoined, now: float) -> None:
        del now
        self._ids[event.member.slot] = event.member.id

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        self._ids.pop(event.member.slot, None)

    def _placed(self, event: RequestPlaced, now: float) -> None:
        session, endpoint = event.placement.session, event.placement.primary.id
        if not session:
            return
        stamp = None
        if self._shared.is_on and self.sessions.needs_sharing(session, endpoint, now, self._seconds):
            stamp = self._shared.next_stamp()
            self._shared.publish(SessionBound(self._shared.pool, key_of(session), endpoint, stamp))
        self.sessions.bind(session, endpoint, now, self._seconds, stamp)

    def _reported(self, event: RequestReported, now: float) -> None:
        """A session does not stay where its request failed."""
        placement = event.report.placement
        session = placement.session
        if not session or not event.report.has_failed:
            return
        if self.sessions.endpoint(session, now) == placement.primary.id:
            stamp = self._shared.next_stamp()
            self.sessions.unbind(session, now, self._seconds, stamp)
            self._shared.publish(SessionBound(self._shared.pool, key_of(session), None, stamp))

    def _bound_elsewhere(self, event: SessionBound, now: float) -> None:
        self._shared.witness(event.stamp)
        self.sessions.fold(event.session, Binding(event.endpoint, now + self._seconds, event.stamp, now))

    def facts(self) -> Iterator[SessionBound]:
        """All that is bound or let go of, for a replica that lacks it."""
        for key, bound in self.sessions.bindings():
            yield SessionBound(self._shared.pool, key, bound.endpoint, bound.stamp)

    def _time_passed(self, event: TimePassed, now: float) -> None:
        del event
        self.sessions.expire(now)
