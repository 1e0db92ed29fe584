"""Requests at the gate: those that wait, and their verdicts when the gate gives them. Pure.

`release` is called on every event that may bring room. It stops after a bounded number of verdicts and has the process
call again, so that a queue that empties at once holds up nothing else on the loop.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from epp.admission.gate import Admission, Gate
from epp.config import SchedulerConfig
from epp.domain import PickId, PoolId, Ticket, Verdict
from epp.flowcontrol.eviction import Running
from epp.picking.settle import Settlement
from epp.picking.waiting import Waiting, WaitingRequests
from epp.scheduling.view import SchedulingView
from gateway.wire import refusals
from gateway.wire.errors import Rejection

# Verdicts of one call: some milliseconds of placing, in a pool of a thousand endpoints some ten.
RELEASES_LIMIT: Final = 16


class Shell(Protocol):
    """What queues need of the process around the picker."""

    def resume(self) -> None:
        """Have `Picker.resume` called soon: there is more to release than one call may take."""

    def begins_to_wait(self, pool: PoolId) -> None:
        """A request waits for a pool where none did before: its metrics are wanted now."""

    def can_end(self, pick_id: PickId) -> bool:
        """Whether a transport holds the answer to this pick and is able to cut it."""

    def end(self, pick_id: PickId, rejection: Rejection, now: float) -> None:
        """Cut it. The client gets the rejection if its answer has not begun."""


class NoShell:
    """For a picker without a process: every release is whole, and no answer ends."""

    def resume(self) -> None:
        """Never called."""

    def begins_to_wait(self, pool: PoolId) -> None:
        """Metrics come when they come."""

    def can_end(self, pick_id: PickId) -> bool:
        """No."""
        del pick_id
        return False

    def end(self, pick_id: PickId, rejection: Rejection, now: float) -> None:
        """Never called."""


class Steps(NamedTuple):
    """What becomes of a request that has passed the gate, or not."""

    place: Callable[[Waiting, float], Verdict]
    refuse: Callable[[Waiting, Rejection, float], Rejection]


class Admitting:
    """See the module's docstring; the picker owns it."""

    def __init__(self, gate: Gate, steps: Steps, settlement: Settlement, shell: Shell | None) -> None:
        self._gate = gate
        self._steps = steps
        self._settlement = settlement
        self._shell: Shell = shell or NoShell()
        self._is_bounded = shell is not None
        self._waiting = WaitingRequests()
        self._is_releasing = False

    def submit(self, waiting: Waiting, now: float) -> Verdict | Ticket:
        """The verdict; or a ticket, and the waiter gets the verdict later."""
        admission = self._gate.admit(waiting, now)
        if isinstance(admission, Rejection):
            return self._steps.refuse(waiting, admission, now)
        if admission is Admission.ADMITTED:
            return self._steps.place(waiting, now)
        if self._waiting.add(waiting) == 1:
            self._shell.begins_to_wait(waiting.pool)
        return waiting.ticket

    def cancel(self, ticket: Ticket, now: float) -> None:
        """The client of a request that waits is gone."""
        if self._waiting.remove(ticket) is not None:
            self._gate.cancel(ticket, now)
            self.release(now)

    def waits_for(self, pool: PoolId) -> bool:
        """Whether any request waits for this pool."""
        return self._waiting.count(pool) > 0

    def next_number(self) -> int:
        """The number of the next request."""
        return self._waiting.next_number()

    def reconfigure(self, config: SchedulerConfig, now: float) -> None:
        """What waits may go by the new configuration."""
        self._gate.reconfigure(config)
        self.release(now)

    def release(self, now: float) -> None:
        """Give their verdicts to those that waited and have their turn."""
        if self._is_releasing or not len(self._waiting):
            return
        self._is_releasing = True
        try:
            self._release(now)
        finally:
            self._is_releasing = False

    def describe(
        self, look: Callable[[PoolId, float], SchedulingView | None], now: float
    ) -> Sequence[Mapping[str, object]]:
        """What waits, for people and metrics."""
        return self._gate.describe(look, now)

    def _release(self, now: float) -> None:
        count = 0
        while self._release_one(now):
            count += 1
            if self._is_bounded and count >= RELEASES_LIMIT:
                self._shell.resume()
                return

    def _release_one(self, now: float) -> bool:
        """One verdict, or room made for one; False while nothing changes."""
        released = self._gate.next(now)
        if released is None:
            return self._make_room(now)
        waiting = self._waiting.remove(released.ticket)
        if waiting is not None:
            place, refuse = self._steps
            rejection = released.rejection
            verdict = place(waiting, now) if rejection is None else refuse(waiting, rejection, now)
            waiting.waiter.decide(verdict, now)
        return True

    def _make_room(self, now: float) -> bool:
        """End running requests for those that wait; whether any ended."""
        victims = self._gate.victims(self._in_flight, now)
        for victim in victims:
            self._settlement.evict(victim.pick_id, now)
            self._shell.end(victim.pick_id, refusals.evicted(), now)
        return bool(victims)

    def _in_flight(self, pool: PoolId) -> Sequence[Running]:
        can_end = self._shell.can_end
        return [
            Running(placement.id, placement.priority, placement.placed_at, can_end(placement.id))
            for placement in self._settlement.ledger.live()
            if placement.pool == pool
        ]
