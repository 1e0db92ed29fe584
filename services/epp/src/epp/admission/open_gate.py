"""The gate without flow control: nothing waits. Pure."""

from collections.abc import Callable, Mapping, Sequence

from epp.admission.gate import Admission, Answered, Applicant, Released
from epp.admission.plugins import saturation_of, turned_away
from epp.config import SchedulerConfig
from epp.domain import PoolId, Ticket
from epp.flowcontrol.eviction import Running
from epp.scheduling.plugin import Admitter, SaturationDetector
from epp.scheduling.view import SchedulingView
from gateway.wire import refusals
from gateway.wire.errors import Rejection


class OpenGate:
    """Admits everything at once, but for what is shed while the pool is full."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._detector: SaturationDetector | None = None
        self._admitters: tuple[Admitter, ...] = ()
        self.reconfigure(config)

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Take the detector and the admitters."""
        self._detector, self._admitters = config.detector, config.admitters

    def admit(self, applicant: Applicant, now: float) -> Admission | Rejection:
        """Shed a request of negative priority while the pool is saturated, and what an admitter turns away."""
        detector = self._detector if applicant.priority < 0 else None
        if detector is None and not self._admitters:
            return Admission.ADMITTED
        view = applicant.look(now)
        if view is None:
            return Admission.ADMITTED  # placing says that there is no endpoint
        if detector is not None and saturation_of(detector, view, applicant.trace) >= 1.0:
            return refusals.saturated("the pool is saturated and this request is sheddable")
        return turned_away(self._admitters, view, applicant.trace) or Admission.ADMITTED

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Nothing waits here."""

    def next(self, now: float) -> Released | None:
        """Nothing waits here."""
        del now
        return None

    def victims(self, in_flight: Callable[[PoolId], Sequence[Running]], now: float) -> Sequence[Running]:
        """Nobody waits for their room."""
        del in_flight, now
        return ()

    def answered(self, applicant: Answered, tokens: int) -> None:
        """Service does not count."""

    def describe(
        self, look: Callable[[PoolId, float], SchedulingView | None], now: float
    ) -> Sequence[Mapping[str, object]]:
        """Nothing waits here."""
        del look, now
        return ()
