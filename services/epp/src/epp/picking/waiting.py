"""Requests that wait at the gate, by their tickets. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from epp.domain import PoolId, Ticket, Waiter
from epp.picking.explain import Notes
from epp.picking.prepare import Prepared
from epp.scheduling.plugin import Trace
from epp.scheduling.view import SchedulingView


@dataclass(frozen=True, slots=True)
class Waiting:
    """A prepared request before the gate, and who gets its verdict. `notes` are there where explaining is on."""

    ticket: Ticket
    prepared: Prepared
    waiter: Waiter
    trace: Trace
    notes: Notes | None
    candidates: "Callable[[Waiting, float], SchedulingView | None]"

    def look(self, now: float) -> SchedulingView | None:
        """Its candidates at this moment."""
        return self.candidates(self, now)

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
        self._tickets = 0
        self._waiting: dict[Ticket, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ticket(self) -> Ticket:
        """A new one."""
        self._tickets += 1
        return Ticket(self._tickets)

    def add(self, waiting: Waiting) -> None:
        """Keep a request until its verdict, or until it is cancelled."""
        self._waiting[waiting.ticket] = waiting

    def remove(self, ticket: Ticket) -> Waiting | None:
        """Give a request back. None if it does not wait."""
        return self._waiting.pop(ticket, None)
