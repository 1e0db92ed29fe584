"""Requests that wait at the gate, by their tickets. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from epp.domain import PoolId, Ticket, Waiter
from epp.picking.explain import Notes
from epp.picking.prepare import Prepared
from epp.scheduling.plugin import Trace
from epp.scheduling.view import SchedulingView


class Waiting(NamedTuple):
    """A prepared request before the gate, and who gets its verdict. `notes` are there where explaining is on."""

    number: int
    prepared: Prepared
    waiter: Waiter
    trace: Trace
    notes: Notes | None
    candidates: "Callable[[Waiting, float], SchedulingView | None]"

    def look(self, now: float) -> SchedulingView | None:
        """Its candidates at this moment."""
        return self.candidates(self, now)

    @property
    def ticket(self) -> Ticket:
        """What its transport keeps while it waits."""
        return Ticket(self.number)

    @property
    def pool(self) -> PoolId:
        """Where it goes."""
        return self.prepared.spec.id

    @property
    def priority(self) -> int:
        """Higher is more important."""
        return self.prepared.parsed.priority

    @property
    def fairness_id(self) -> str:
        """Whose requests it counts among."""
        return self.prepared.fairness_id

    @property
    def body_bytes(self) -> int:
        """The size of its body."""
        return len(self.prepared.request.body)

    @property
    def prompt_tokens(self) -> int:
        """An estimate of its prompt."""
        return self.prepared.parsed.prompt_tokens


class WaitingRequests:
    """Tickets are numbered from one and never used again. The gate bounds how many wait."""

    def __init__(self) -> None:
        self._number = 0
        self._waiting: dict[Ticket, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def next_number(self) -> int:
        """The number of the next request."""
        self._number += 1
        return self._number

    def add(self, waiting: Waiting) -> None:
        """Keep a request until its verdict, or until it is cancelled."""
        self._waiting[waiting.ticket] = waiting

    def remove(self, ticket: Ticket) -> Waiting | None:
        """Give a request back. None if it does not wait."""
        return self._waiting.pop(ticket, None)
