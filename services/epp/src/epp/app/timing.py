"""Measures decisions, between the transports and the picker, and the gate's work, between the picker and the gate.

A shell, for its clock. A request that waits is measured up to its ticket: how long it waits is no part of a decision.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from epp.admission.gate import Admission, Answered, Applicant, Gate, Released
from epp.config import SchedulerConfig
from epp.domain import Outcome, PickId, PoolId, Request, Ticket, Verdict, Waiter
from epp.flowcontrol.eviction import Running
from epp.scheduling.view import SchedulingView
from gateway.service.clock import Clock
from gateway.wire.errors import Rejection


class RequestPicker(Protocol):
    """The part of the picker that transports use."""

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """Decide, or let the request wait."""

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Forget a request that waits."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over."""


class DecisionMetrics(Protocol):
    """What an operator counts."""

    def took(self, seconds: float) -> None:
        """One decision."""


class TimedPicker:
    """The picker as every transport sees it."""

    __slots__ = ("_clock", "_metrics", "_picker", "cancel", "settle")

    def __init__(self, picker: RequestPicker, clock: Clock, metrics: DecisionMetrics) -> None:
        self._picker = picker
        self._clock = clock
        self._metrics = metrics
        self.cancel = picker.cancel
        self.settle = picker.settle

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """Decide, and count the time since the transport read its clock."""
        verdict = self._picker.submit(request, waiter, now)
        self._metrics.took(self._clock() - now)
        return verdict


class GateMetrics(Protocol):
    """What an operator counts of the gate's work."""

    def enqueued(self, applicant: Applicant, seconds: float) -> None:
        """A request was let wait."""

    def dispatched(self, seconds: float) -> None:
        """The gate was asked for the next request."""


class TimedGate:
    """A gate that is measured where it lets requests wait."""

    def __init__(self, gate: Gate, clock: Clock, metrics: GateMetrics) -> None:
        self._gate = gate
        self._clock = clock
        self._metrics = metrics
        self.cancel: Callable[[Ticket, float], None] = gate.cancel
        self.victims: Callable[[Callable[[PoolId], Sequence[Running]], float], Sequence[Running]] = gate.victims
        self.answered: Callable[[Answered, int], None] = gate.answered
        self.reconfigure: Callable[[SchedulerConfig], None] = gate.reconfigure

    def admit(self, applicant: Applicant, now: float) -> Admission | Rejection:
        """As the gate does."""
        began = self._clock()
        admission = self._gate.admit(applicant, now)
        if admission is Admission.WAITS:
            self._metrics.enqueued(applicant, self._clock() - began)
        return admission

    def next(self, now: float) -> Released | None:
        """As the gate does."""
        began = self._clock()
        released = self._gate.next(now)
        self._metrics.dispatched(self._clock() - began)
        return released

    def describe(
        self, look: Callable[[PoolId, float], SchedulingView | None], now: float
    ) -> Sequence[Mapping[str, object]]:
        """As the gate does."""
        return self._gate.describe(look, now)
