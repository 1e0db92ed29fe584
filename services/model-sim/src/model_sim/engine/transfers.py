"""Requests whose prompt's KV cache is under way from another engine, in order of arrival of the last byte."""

import heapq
from collections.abc import Iterator

from model_sim.engine.sequence import Sequence, State


class Transfers:
    """Sequences that wait for their KV cache. One owner: the scheduler."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Sequence]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_arrival(self) -> float | None:
        """When the next transfer is complete."""
        return self._heap[0][0] if self._heap else None

    def begin(self, sequence: Sequence, ready: float) -> None:
        """The sequence's KV cache is here at `ready`."""
        sequence.state = State.TRANSFERRING
        heapq.heappush(self._heap, (ready, sequence.order, sequence))

    def arrived(self, now: float) -> Iterator[Sequence]:
        """Take out the sequences whose transfers are complete."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            yield heapq.heappop(heap)[2]

    def remove(self, sequence: Sequence) -> None:
        """Forget an aborted sequence."""
        self._heap = [entry for entry in self._heap if entry[2] is not sequence]
        heapq.heapify(self._heap)
