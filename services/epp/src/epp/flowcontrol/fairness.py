"""Which queue of a band is next: fairness policies, and the state that each band keeps for its policy. Pure.

A band has a queue for each key that its fairness makes of a fairness id. It reports which queues have something
waiting, what was dispatched and what answers cost; the fairness answers with the next queue. `policies` makes one from
a configuration.

| state | rule |
|---|---|
| `GlobalStrict` | fairness ids do not count: the band is one queue |
| `RoundRobin` | each queue gives one request in turn |
| `LeastServed` | the queue that was served least |

`LeastServed` keeps virtual counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024): a queue
that comes back starts no lower than the counter that was served last, so silence saves up no service. What passes while
nobody waits counts, too.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from epp.flowcontrol.items import Size

# Counters kept of queues that wait for nothing now: as many as there may be fairness ids in a band.
COUNTERS_LIMIT: Final = 1000
# An entry of the heap is stale when its queue was served since. With so many entries to each queue, they are dropped.
_STALE_FACTOR: Final = 4
NO_WEIGHTS: Final[Mapping[str, float]] = {}


class Fairness(Protocol):
    """The order among the queues of one band. Each instance belongs to one band."""

    def key(self, fairness_id: str) -> str:
        """The queue that a request waits in."""

    def joined(self, key: str) -> None:
        """An empty queue got a request."""

    def emptied(self, key: str) -> None:
        """A queue has nothing left."""

    def next(self) -> str:
        """The queue whose head is next. Called only while a queue has something."""

    def dispatched(self, key: str, size: Size) -> None:
        """The head of this queue was dispatched."""

    def answered(self, key: str, tokens: int) -> None:
        """An answer to this queue had so many tokens, whether others of it wait or not."""


class GlobalStrict:
    """One queue for all fairness ids; nothing is kept."""

    def key(self, fairness_id: str) -> str:
        """The same for everybody."""
        del fairness_id
        return ""

    def joined(self, key: str) -> None:
        """Nothing changes."""

    def emptied(self, key: str) -> None:
        """Nothing changes."""

    def next(self) -> str:
        """The one queue."""
        return ""

    def dispatched(self, key: str, size: Size) -> None:
        """Nothing changes."""

    def answered(self, key: str, tokens: int) -> None:
        """Service does not count."""


class RoundRobin:
    """Queues in turn; one that joins waits for those before it."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, None] = OrderedDict()

    def key(self, fairness_id: str) -> str:
        """A queue for each fairness id."""
        return fairness_id

    def joined(self, key: str) -> None:
        """Its turn comes after all others."""
        self._turns[key] = None

    def emptied(self, key: str) -> None:
        """It has no turn any more."""
        self._turns.pop(key, None)

    def next(self) -> str:
        """Whose turn it is."""
        return next(iter(self._turns))

    def dispatched(self, key: str, size: Size) -> None:
        """The turn is over."""
        del size
        if key in self._turns:
            self._turns.move_to_end(key)

    def answered(self, key: str, tokens: int) -> None:
        """Service does not count."""


class LeastServed:
    """The least served queue first; service counts divided by the weight of its key, 1 where none is given.

    `cost` is what a dispatch counts, `per_answer_token` what each token of its answer adds.
    """

    def __init__(
        self, cost: Callable[[Size], float], per_answer_token: float, weights: Mapping[str, float] = NO_WEIGHTS
    ) -> None:
        self._cost = cost
        self._per_answer_token = per_answer_token
        self._weights = weights
        self._waiting: set[str] = set()
        self._counters: OrderedDict[str, float] = OrderedDict()  # least recently changed first
        self._heap: list[tuple[float, int, str]] = []  # of the queues that wait; ties by the time of the change
        self._changes = 0
        self._floor = 0.0

    def key(self, fairness_id: str) -> str:
        """A queue for each fairness id."""
        return fairness_id

    def joined(self, key: str) -> None:
        """It goes on from what it was served, or from the counter that was served last."""
        self._waiting.add(key)
        self._set(key, max(self._counters.get(key, 0.0), self._floor))

    def emptied(self, key: str) -> None:
        """Its counter stays for a while."""
        self._waiting.discard(key)

    def next(self) -> str:
        """The least served of those that wait."""
        while True:
            counter, _, key = self._heap[0]
            if key in self._waiting and self._counters[key] == counter:
                return key
            heappop(self._heap)

    def dispatched(self, key: str, size: Size) -> None:
        """Charge it."""
        self._floor = max(self._floor, self._counters[key])
        self._add(key, self._cost(size))

    def answered(self, key: str, tokens: int) -> None:
        """Charge the answer."""
        if self._per_answer_token:
            self._add(key, tokens * self._per_answer_token)

    def _add(self, key: str, service: float) -> None:
        self._set(key, self._counters.get(key, self._floor) + service / self._weights.get(key, 1.0))

    def _set(self, key: str, counter: float) -> None:
        self._counters[key] = counter
        self._counters.move_to_end(key)
        if key in self._waiting:
            self._changes += 1
            heappush(self._heap, (counter, self._changes, key))
        if len(self._counters) > COUNTERS_LIMIT:
            self._forget()
        if len(self._heap) > _STALE_FACTOR * (len(self._waiting) + 1):
            self._sweep()

    def _forget(self) -> None:
        """Drop the counter that changed longest ago, of those that nothing waits for."""
        idle = next((key for key in self._counters if key not in self._waiting), None)
        if idle is not None:
            del self._counters[idle]

    def _sweep(self) -> None:
        live = {
            key: entry for entry in self._heap if (key := entry[2]) in self._waiting and self._counters[key] == entry[0]
        }
        self._heap = list(live.values())
        heapify(self._heap)
