"""The picker as every transport sees it. Pure."""

from typing import Protocol

from epp.domain import Feedback, Outcome, PickId, Request, Ticket, Verdict, Waiter


class RequestPicker(Protocol):
    """Decides about requests, at once or later."""

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """The verdict; or a ticket, and the verdict goes to the waiter later, unless the ticket is cancelled."""

    def cancel(self, ticket: Ticket, now: float) -> None:
        """The client or the proxy of a request that waits is gone; unknown tickets are ignored."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over; later calls and unknown ids are ignored."""


class FeedbackSink(Protocol):
    """Learns how requests went."""

    def observe(self, feedback: Feedback, now: float) -> None:
        """How a request went, or that it lives."""
