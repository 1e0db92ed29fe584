"""What keeps the counts: the interface, and the one that keeps them in this process. Pure.

A counter is a count for each slot of its window. `take` looks at all counters of a request and takes from all of them
or from none, in one step. `add` never refuses.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from gateway.quotas.windows import Window

MOST_COUNTERS: Final = 100_000  # for each window: about 50 MB. Further values of an attribute share one counter.

Counts = Sequence[tuple[int, int]]  # slots that count, with their counts; the oldest first


class Claim(NamedTuple):
    """What a request wants of one counter: `amount`, where less than `limit` was used. Without a limit it may have it.
    A negative amount gives back what was taken at that time.
    `shared` is the key of the counter that values share when there are too many."""

    key: str
    shared: str
    window: Window
    amount: int
    limit: int | None = None


# The counts before anything was taken, one for each claim. None: they cannot be known.
Taken = Callable[[Sequence[Counts] | None], None]


class Counters(Protocol):
    def take(self, claims: Sequence[Claim], now: float, taken: Taken) -> None:
        """Call `taken`, now or later; exactly once."""

    def add(self, claims: Sequence[Claim], now: float) -> None:
        """Count what was used at that time, exactly once."""


def used(counts: Counts) -> int:
    """What the window holds."""
    return sum(count for _, count in counts)


def has_room(claim: Claim, counts: Counts) -> bool:
    """Whether a claim may have what it wants."""
    return claim.limit is None or used(counts) < claim.limit


class MemoryCounters:
    """For one process. A counter whose window has passed is dropped when another one needs its place."""

    def __init__(self, most: int = MOST_COUNTERS) -> None:
        self._most = most
        self._windows: dict[Window, OrderedDict[str, dict[int, int]]] = {}

    def take(self, claims: Sequence[Claim], now: float, taken: Taken) -> None:
        """Look, take, and say what was there, at once."""
        counters = [self._counter(claim, now) for claim in claims]
        found = [sorted(counter.items()) for counter in counters]
        if all(map(has_room, claims, found)):
            self._count(claims, counters, now)
        taken(found)

    def add(self, claims: Sequence[Claim], now: float) -> None:
        """Count at once."""
        self._count(claims, [self._counter(claim, now) for claim in claims], now)

    @property
    def size(self) -> int:
        """Counters that are kept."""
        return sum(map(len, self._windows.values()))

    def _count(self, claims: Sequence[Claim], counters: Sequence[dict[int, int]], now: float) -> None:
        for claim, counter in zip(claims, counters, strict=True):
            if claim.amount:
                slot = claim.window.slot(now)
                counter[slot] = max(0, counter.get(slot, 0) + claim.amount)

    def _counter(self, claim: Claim, now: float) -> dict[int, int]:
        counters = self._windows.setdefault(claim.window, OrderedDict())
        first, key = claim.window.first(now), claim.key
        if key not in counters and len(counters) >= self._most:
            oldest = next(iter(counters))
            if max(counters[oldest], default=first - 1) < first:
                del counters[oldest]
            else:
                key = claim.shared
        counter = counters.setdefault(key, {})
        counters.move_to_end(key)
        for slot in [slot for slot in counter if slot < first]:
            del counter[slot]
        return counter
