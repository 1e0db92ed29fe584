"""The gate with flow control: requests wait before their pool until it has room. Pure.

Each pool has a queue of its own. Whoever drives the gate calls `next` on every event that may bring room: a settlement,
a scrape, an endpoint, a second that passed.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from epp.admission.gate import Admission, Answered, Applicant, Released
from epp.admission.observer import QueueObserver
from epp.admission.pool_queue import PoolQueue
from epp.config import SchedulerConfig
from epp.domain import PoolId, Ticket
from epp.flowcontrol.eviction import Running
from epp.flowcontrol.items import NOTHING, Limit, Outcome, Size
from epp.scheduling.profile import NoTrace
from epp.scheduling.view import SchedulingView
from gateway.wire.errors import Rejection

# All pools together, whatever the configuration allows each: bodies that wait are in memory.
WAITING_LIMIT: Final = Limit(requests=20_000, bytes=2_000_000_000)
# Pools whose queues are kept. The one that was idle for longest makes room; with it goes what its flows were served.
POOLS_LIMIT: Final = 256


class FlowGate:
    """See the module's docstring."""

    def __init__(self, config: SchedulerConfig, observer: QueueObserver) -> None:
        self._config = config
        self._observer = observer
        self._queues: OrderedDict[PoolId, PoolQueue] = OrderedDict()  # least recently made first
        self._busy: dict[PoolId, PoolQueue] = {}  # those in which something waits
        self._pools: dict[Ticket, PoolId] = {}  # of what waits

    def admit(self, applicant: Applicant, now: float) -> Admission | Rejection:
        """Admit it at once where nothing goes before it and there is room; else let it wait."""
        queue = self._queues.get(applicant.pool)
        if queue is None:  # an empty one is false
            queue = self._add(applicant.pool)
        verdict = queue.admit_at_once(applicant, now)
        if verdict is not None:
            return verdict
        if not WAITING_LIMIT.holds(self._size().plus(Size(1, applicant.body_bytes, applicant.prompt_tokens))):
            return queue.refuse(applicant, Outcome.REJECTED_CAPACITY, now)
        verdict = queue.enqueue(applicant, now)
        if verdict is Admission.WAITS:
            self._busy[applicant.pool] = queue
            self._pools[applicant.ticket] = applicant.pool
        return verdict

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Its room is free at once."""
        pool = self._pools.pop(ticket, None)
        if pool is not None:
            self._queues[pool].cancel(ticket.number, now)
            self._forget_if_idle(pool)

    def next(self, now: float) -> Released | None:
        """From any pool: what waits before one does not compete with what waits before another."""
        for pool, queue in self._busy.items():
            released = queue.next(now)
            if released is not None:
                del self._pools[released.ticket]
                self._forget_if_idle(pool)
                return released
        return None

    def victims(self, in_flight: Callable[[PoolId], Sequence[Running]], now: float) -> Sequence[Running]:
        """Of the first pool in which anybody may end."""
        for pool, queue in self._busy.items():
            found = queue.victims(in_flight(pool), now) if queue.wants_victims(now) else ()
            if found:
                self._observer.revoked(pool, len(found))
                return found
        return ()

    def answered(self, applicant: Answered, tokens: int) -> None:
        """Fairness by tokens counts them."""
        queue = self._queues.get(applicant.pool)
        if queue is not None:
            queue.answered(applicant.priority, applicant.fairness_id, tokens)

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Everything that waits goes on waiting; without flow control the next calls of `next` give it all."""
        self._config = config
        for queue in self._queues.values():
            queue.reconfigure(config)

    def describe(
        self, look: Callable[[PoolId, float], SchedulingView | None], now: float
    ) -> Sequence[Mapping[str, object]]:
        """Each pool that was asked for."""
        return [
            {"pool": pool, **queue.describe(look(pool, now), NoTrace(), now)}
            for pool, queue in sorted(self._queues.items())
        ]

    def _size(self) -> Size:
        total = NOTHING
        for queue in self._busy.values():
            total = total.plus(queue.size)
        return total

    def _forget_if_idle(self, pool: PoolId) -> None:
        if not len(self._queues[pool]):
            del self._busy[pool]

    def _add(self, pool: PoolId) -> PoolQueue:
        if len(self._queues) >= POOLS_LIMIT:
            idle = next((known for known in self._queues if known not in self._busy), None)
            if idle is not None:
                del self._queues[idle]
        queue = self._queues[pool] = PoolQueue(self._config, self._observer)
        return queue
