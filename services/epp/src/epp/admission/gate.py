"""The gate before placing: a request is admitted at once, refused, or waits. Pure.

    admit ──▶ ADMITTED            place it now
          ├─▶ Rejection           refuse it
          └─▶ WAITS ──▶ next()    later, when there is room: admitted or refused, each ticket once
                    └─▶ cancel    its client left

A gate sees endpoints only as candidates of the request at hand, through `look`, and only while it decides. The owner
calls `next` until it gives nothing, whenever room may have come, and places what is admitted before it calls again.
"""

from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Protocol

from epp.config import SchedulerConfig
from epp.domain import PoolId, Ticket
from epp.scheduling.containing import contained
from epp.scheduling.plugin import Admitter, SaturationDetector, Trace
from epp.scheduling.view import SchedulingView
from gateway.wire import refusals
from gateway.wire.errors import Rejection


class Applicant(Protocol):
    """A request before the gate."""

    @property
    def ticket(self) -> Ticket:
        """Its number."""

    @property
    def pool(self) -> PoolId:
        """Where it goes."""

    @property
    def priority(self) -> int:
        """Higher is more important; below 0 it may be shed."""

    @property
    def fairness_id(self) -> str:
        """Whose requests it counts among."""

    @property
    def body_bytes(self) -> int:
        """The size of its body."""

    @property
    def prompt_tokens(self) -> int:
        """An estimate of its prompt."""

    @property
    def trace(self) -> Trace:
        """Takes notes of plugins that fail."""

    def look(self, now: float) -> SchedulingView | None:
        """Its candidates at this moment; None where it has none."""


class Admission(Enum):
    """What becomes of a request that is not refused."""

    ADMITTED = auto()
    WAITS = auto()


@dataclass(frozen=True, slots=True)
class Released:
    """A request that waited: admitted, or refused with a reason."""

    ticket: Ticket
    rejection: Rejection | None = None


class Gate(Protocol):
    """See the module's docstring. All times are monotonic seconds."""

    def admit(self, applicant: Applicant, now: float) -> Admission | Rejection:
        """Judge a request that has just arrived. It may be kept until it has left the gate."""

    def cancel(self, ticket: Ticket, now: float) -> None:
        """A waiting request's client left. Unknown tickets are ignored."""

    def next(self, now: float) -> Released | None:
        """A waiting request whose turn it is; None while nothing changes."""

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Another configuration, from the next request on."""


class OpenGate:
    """Admits everything at once, but for what is shed while the pool is full. Nothing waits.

    A plugin that fails counts as one that is not there: nothing is shed, and everything admitted.
    """

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
        trace = applicant.trace
        if detector is not None and _sheds(detector, view, trace):
            return refusals.saturated("the pool is saturated and this request is sheddable")
        for admitter in self._admitters:
            if not contained(trace, _type(admitter), partial(_admits, admitter, view), otherwise=True):
                return refusals.saturated("the pool is too busy to admit this request")
        return Admission.ADMITTED

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Nothing waits here."""

    def next(self, now: float) -> Released | None:
        """Nothing waits here."""
        del now
        return None


def _sheds(detector: SaturationDetector, view: SchedulingView, trace: Trace) -> bool:
    return contained(trace, _type(detector), partial(_is_saturated, detector, view), otherwise=False)


def _is_saturated(detector: SaturationDetector, view: SchedulingView) -> bool:
    return detector.saturation(view) >= 1.0


def _admits(admitter: Admitter, view: SchedulingView) -> bool:
    return bool(admitter.admits(view))


def _type(plugin: object) -> str:
    return type(plugin).__name__
