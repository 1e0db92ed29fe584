"""The end of a request: its reservation is released exactly once, and producers learn how it went. Pure.

Signs of life and ends come from three sides, as one kind of event: transports settle picks, Envoy's access log sends
heartbeats and final entries, and responses that pass through a transport report like a final entry. The first end
counts; the first report of a settled pick is learned from.
"""

from collections.abc import Callable, Container, Mapping

from epp.datalayer.events import AttemptFailed, RequestAlive, RequestPlaced, RequestSettled
from epp.datalayer.ledger import Ledger
from epp.datalayer.placement import Placement
from epp.datalayer.placing import Placing
from epp.datalayer.pool import PoolState
from epp.datalayer.report import Report
from epp.domain import (
    Feedback,
    FeedbackForwarded,
    Outcome,
    PickId,
    PoolId,
    replica_of,
)
from epp.picking.observer import PickObserver, Publisher
from epp.picking.poison import PoisonRequests


class Settlement:
    """Owns the ledger, and what is known of requests that break servers. `pools` is the picker's table of them,
    `answered` takes the tokens of each answer, `reported` each last report."""

    def __init__(
        self,
        replica: str,
        pools: Mapping[PoolId, PoolState],
        journal: Publisher | None,
        observer: PickObserver,
        answered: Callable[[Placement, int], None],
        *,
        reported: Callable[[Placement, Feedback, float], None],
    ) -> None:
        self.ledger = Ledger()
        self.poison = PoisonRequests()
        self._replica = replica
        self._pools = pools
        self._journal = journal
        self._observer = observer
        self._answered = answered
        self._reported = reported

    def reserve(self, placement: Placement, placing: Placing, pool: PoolState) -> None:
        """Enter a placement: from now on its endpoints carry it."""
        self.ledger.reserve(placement)
        pool.handle(RequestPlaced(placement, placing), placement.placed_at)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> bool:
        """Release a reservation; whether there was one."""
        placement = self.ledger.release(pick_id)
        if placement is None:
            return False
        pool = self._pools.get(placement.pool)
        if pool is not None:
            pool.handle(RequestSettled(placement, outcome), now)
        self._observer.settled(placement.pool, pick_id, outcome, now - placement.placed_at)
        return True

    def evict(self, pick_id: PickId, now: float) -> None:
        """Release a reservation whose answer is cut here; nothing is learned from how it went."""
        self.settle(pick_id, Outcome.EVICTED, now)
        self.ledger.report(pick_id)

    def observe(self, feedback: Feedback, now: float) -> bool:
        """A heartbeat or the report of an end; whether a reservation was released by it.

        One about another replica's pick is passed on.
        """
        if replica_of(feedback.pick_id) != self._replica:
            if self._journal is not None:
                self._journal.publish((FeedbackForwarded(feedback),))
            return False
        return self.observe_own(feedback, now)

    def observe_own(self, feedback: Feedback, now: float) -> bool:
        """As `observe`, for a pick of this replica; others' are ignored."""
        if replica_of(feedback.pick_id) != self._replica:
            return False
        if feedback.failed_attempt is not None:
            self._attempted(feedback, now)
            return False
        if not feedback.is_final:
            self._continue(feedback, now)
            return False
        is_released = self.settle(feedback.pick_id, Outcome.ENDED, now)
        placement = self.ledger.report(feedback.pick_id)
        if placement is not None:
            self._learn(placement, feedback, now)
        return is_released

    def expire(self, now: float, held: Container[PickId]) -> bool:
        """Settle what gave no sign of life for too long, but for what is `held`; whether there was any."""
        overdue = self.ledger.overdue(now, held)
        for pick_id in overdue:
            self.settle(pick_id, Outcome.EXPIRED, now)
        return bool(overdue)

    def _attempted(self, feedback: Feedback, now: float) -> None:
        """How one attempt failed, before its request ends: the endpoint is known at once, and why."""
        placement = self.ledger.find(feedback.pick_id)
        pool = None if placement is None else self._pools.get(placement.pool)
        if placement is not None and pool is not None:
            self.poison.attempted(placement, feedback, now)
            pool.handle(AttemptFailed(placement, feedback, feedback.pick_id in self.ledger), now)

    def _continue(self, feedback: Feedback, now: float) -> None:
        placement = self.ledger.heartbeat(feedback.pick_id, now)
        pool = None if placement is None else self._pools.get(placement.pool)
        if placement is not None and pool is not None:
            pool.handle(RequestAlive(placement, feedback), now)

    def _learn(self, placement: Placement, feedback: Feedback, now: float) -> None:
        pool = self._pools.get(placement.pool)
        if pool is not None:
            report = Report(placement, feedback, pool.served(feedback.served))
            self.poison.learn(report, now)
            pool.reported(report, now)
        if feedback.completion_tokens:
            self._answered(placement, feedback.completion_tokens)
        self._reported(placement, feedback, now)
