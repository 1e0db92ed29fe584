"""One priority: its queues, what waits in them, and the policies that choose among them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from epp.admission.flowcontrol.fairness import Fairness
from epp.admission.flowcontrol.ordering import Ordering
from epp.admission.flowcontrol.waiting import NOTHING, Item, Limit, Size

# Fairness ids of one band that have a queue of their own at a time. A client chooses its id, so the number must have a
# bound; ids beyond it wait together. 1000 heads are more than any order among them could mean.
QUEUES_LIMIT: Final = 1000
OVERFLOW: Final = "other"
# A heap with this many entries of items that left, and more than half of all, is built anew.
_DEAD_LIMIT: Final = 64


@dataclass(slots=True)
class _Queue:
    """Items of one key by ordering. Those that left stay in the heap until they come up or are swept."""

    heap: list[tuple[float, int, Item]] = field(default_factory=list)
    live: set[int] = field(default_factory=set)

    def push(self, key: float, item: Item) -> None:
        self.live.add(item.id)
        heappush(self.heap, (key, item.id, item))

    def head(self) -> Item:
        while self.heap[0][1] not in self.live:
            heappop(self.heap)
        return self.heap[0][2]

    def remove(self, item: Item) -> None:
        self.live.remove(item.id)
        dead = len(self.heap) - len(self.live)
        if dead > _DEAD_LIMIT and dead > len(self.live):
            self.heap = [entry for entry in self.heap if entry[1] in self.live]
            heapify(self.heap)


class Band:
    """What waits at one priority. Its controller is the only writer."""

    def __init__(self, priority: int, limit: Limit, fairness: Fairness, ordering: Ordering) -> None:
        self.priority = priority
        self.limit = limit
        self.size = NOTHING
        self._fairness = fairness
        self._ordering = ordering
        self._queues: dict[str, _Queue] = {}
        self._keys: dict[int, str] = {}  # by item

    def __len__(self) -> int:
        return self.size.requests

    def has_room(self, size: Size) -> bool:
        """Whether so much more may wait here."""
        return self.limit.holds(self.size + size)

    def add(self, item: Item) -> None:
        """Let an item wait."""
        key = self._fairness.key(item.flow)
        if key not in self._queues and len(self._queues) >= QUEUES_LIMIT:
            key = self._fairness.key(OVERFLOW)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
            self._fairness.joined(key)
        queue.push(self._ordering(item), item)
        self._keys[item.id] = key
        self.size += item.size

    def head(self) -> Item:
        """The item that is next. Called only while something waits."""
        return self._queues[self._fairness.next()].head()

    def remove(self, item: Item) -> None:
        """An item leaves, for whatever reason."""
        key = self._keys.pop(item.id)
        queue = self._queues[key]
        queue.remove(item)
        self.size -= item.size
        if not queue.live:
            del self._queues[key]
            self._fairness.emptied(key)

    def dispatched(self, item: Item) -> None:
        """An item that is still here goes out next; it is charged for its prompt."""
        key = self._keys[item.id]
        self._fairness.dispatched(key)
        self._fairness.charged(key, item.size.tokens)

    def charge(self, flow: str, tokens: int) -> None:
        """The answer of a request of this flow cost tokens."""
        self._fairness.charged(self._fairness.key(flow), tokens)

    def waiting(self) -> Iterator[tuple[str, int]]:
        """Each queue with how many wait in it."""
        return ((key, len(queue.live)) for key, queue in self._queues.items())
