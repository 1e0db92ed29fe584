"""Requests that wait at the gate, by their tickets. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from epp.datalayer.pool import PoolState
from epp.domain import PoolId, Ticket, Waiter
from epp.picking.explain import Notes
from epp.picking.objectives import ttft_objective
from epp.picking.prepare import Prepared
from epp.scheduling.plugin import Trace
from epp.scheduling.view import SchedulingView
from gateway.wire import protocol


class Waiting(NamedTuple):
    """A prepared request before the gate, and who gets its verdict. `notes` are there where explaining is on."""

    number: int
    prepared: Prepared
    waiter: Waiter
    trace: Trace
    notes: Notes | None
    candidates: "Callable[[Waiting, float], SchedulingView | None]"
    pools: Mapping[PoolId, PoolState]

    def has_endpoints(self) -> bool:
        """Whether its pool has any endpoint now."""
        pool = self.pools.get(self.pool)
        return pool is not None and bool(pool.roster.members)

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
    def session(self) -> str:
        """Its conversation; empty where it has a fairness id, or nothing tells."""
        session = self.prepared.session
        return "" if session is None or protocol.FAIRNESS_ID in self.prepared.request.headers else session.key

    @property
    def model(self) -> str:
        """As the client named it."""
        return self.prepared.parsed.model or ""

    @property
    def target_model(self) -> str:
        """As the model server knows it."""
        return self.prepared.parsed.target_model

    @property
    def ttft_objective(self) -> float | None:
        """Seconds within which the client wants the first token, if it says so."""
        return ttft_objective(self.prepared.request)

    @property
    def longest_wait(self) -> float | None:
        """Seconds that its proxy waits for the verdict, where that is known."""
        return self.prepared.request.longest_wait

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
        self._counts: Counter[PoolId] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def next_number(self) -> int:
        """The number of the next request."""
        self._number += 1
        return self._number

    def add(self, waiting: Waiting) -> int:
        """Keep a request until its verdict, or until it is cancelled; how many now wait for its pool."""
        self._waiting[waiting.ticket] = waiting
        self._counts[waiting.pool] += 1
        return self._counts[waiting.pool]

    def remove(self, ticket: Ticket) -> Waiting | None:
        """Give a request back. None if it does not wait."""
        waiting = self._waiting.pop(ticket, None)
        if waiting is not None:
            self._counts[waiting.pool] -= 1
            if not self._counts[waiting.pool]:
                del self._counts[waiting.pool]
        return waiting

    def count(self, pool: PoolId) -> int:
        """How many wait for a pool."""
        return self._counts[pool]
