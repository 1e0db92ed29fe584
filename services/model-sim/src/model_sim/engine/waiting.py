"""Waiting requests, one queue for each adapter, in order of arrival across the queues.

A request may overtake another only while that one's adapter has no free slot. When the other has waited longer than
`adapter_patience`, no adapter is admitted before it; running ones finish, and a slot becomes free. One owner: the
scheduler.
"""

from collections import deque

from model_sim.engine.adapters import AdapterSlots
from model_sim.engine.sequence import Sequence

MAX_IDLE_QUEUES = 64
"""Adapters come and go: empty queues beyond this are dropped when a new one appears."""


class WaitingRequests:
    """The queues, and which request is next."""

    __slots__ = ("_adapters", "_count", "_patience", "_queues")

    def __init__(self, adapters: AdapterSlots, patience: float) -> None:
        self._adapters = adapters
        self._patience = patience
        self._queues: dict[str | None, deque[Sequence]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def adapters(self) -> tuple[str, ...]:
        """Adapters that requests wait for, in stable order."""
        return tuple(sorted(name for name, queue in self._queues.items() if name is not None and queue))

    @property
    def deferred(self) -> int:
        """Requests whose adapter finds no slot now."""
        return sum(len(self._queues[name]) for name in self.adapters if not self._adapters.admits(name))

    def push(self, sequence: Sequence) -> None:
        """Queue by order of first arrival: a preempted request goes before newer ones."""
        adapter = sequence.request.adapter
        queue = self._queues.get(adapter)
        if queue is None:
            if len(self._queues) > MAX_IDLE_QUEUES:
                self._queues = {name: old for name, old in self._queues.items() if old}
            queue = self._queues[adapter] = deque()
        self._count += 1
        if not queue or queue[-1].order < sequence.order:
            queue.append(sequence)
        elif sequence.order < queue[0].order:
            queue.appendleft(sequence)
        else:
            place = next(index for index, other in enumerate(queue) if other.order > sequence.order)
            queue.insert(place, sequence)

    def first(self, now: float) -> Sequence | None:
        """The next request that may join the batch."""
        first: Sequence | None = None
        starving: Sequence | None = None
        for adapter, queue in self._queues.items():
            if not queue:
                continue
            head = queue[0]
            if adapter is not None and not self._adapters.admits(adapter):
                patient = now - head.arrival <= self._patience
                if not patient and (starving is None or head.order < starving.order):
                    starving = head
            elif first is None or head.order < first.order:
                first = head
        if starving is None or first is None or first.request.adapter is None or first.order < starving.order:
            return first
        base = self._queues.get(None)
        return base[0] if base else None

    def pop(self, sequence: Sequence) -> None:
        """Take out the head of its queue."""
        self._queues[sequence.request.adapter].popleft()
        self._count -= 1

    def remove(self, sequence: Sequence) -> None:
        """Take out a request from anywhere: it was aborted."""
        self._queues[sequence.request.adapter].remove(sequence)
        self._count -= 1
