"""Measures decisions: stands between the transports and the picker, and counts how long each took.

A shell, for its clock. A request that waits is measured up to its ticket: how long it waits is no part of a decision.
"""

from typing import Protocol

from epp.domain import Outcome, PickId, Request, Ticket, Verdict, Waiter
from gateway.service.clock import Clock


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
