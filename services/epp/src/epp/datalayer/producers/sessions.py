"""Sessions: which endpoint a session is bound to, by its id. Pure."""

from collections.abc import Mapping, Sequence

from epp.datalayer.events import Configured, EndpointJoined, EndpointLeft, RequestPlaced, RequestReported, TimePassed
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.session_map import Sessions
from epp.domain import EndpointId

_UNBOUND = EndpointId("")


class SessionProducer:
    """Binds the session of each placement to the endpoint that answers it."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self._ids: dict[int, EndpointId] = {}
        self._seconds = 0.0

    def handles(self) -> Handlers:
        """Placements, and time."""
        return {
            Configured: self._configured,
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            RequestPlaced: self._placed,
            RequestReported: self._reported,
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
        placement = event.placement
        if placement.session:
            self.sessions.bind(placement.session, placement.primary.id, now, self._seconds)

    def _reported(self, event: RequestReported, now: float) -> None:
        """A session does not stay where its request failed."""
        placement = event.report.placement
        if placement.session and event.report.has_failed:
            self.sessions.unbind(placement.session, placement.primary.id, now)

    def _time_passed(self, event: TimePassed, now: float) -> None:
        del event
        self.sessions.expire(now)
