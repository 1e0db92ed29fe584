"""How fast requests leave a queue, as a rate that fades. Pure; it turns what waits into a `Retry-After`."""

import math
from typing import Final

# The rate follows a change within this time: longer than one engine step, shorter than a client's patience.
MEMORY_SECONDS: Final = 10.0
# A rate is not told from less time than this: the first burst into an idle pool is no rate.
_SHORTEST_SPAN: Final = 1.0
# What is left of old departures when they count for nothing.
_FORGOTTEN: Final = 0.01
# Bounds of a Retry-After: less than a second is no whole number, and in five minutes everything may have changed.
SHORTEST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 300.0


class Pace:
    """Departures per second, each weighing less the longer it is ago."""

    __slots__ = ("_at", "_since", "_weight")

    def __init__(self) -> None:
        self._weight = 0.0
        self._at = 0.0
        self._since = 0.0  # the first departure that still counts

    def left(self, now: float) -> None:
        """One request left."""
        weight = self._faded(now)
        if weight < _FORGOTTEN:
            self._since = now
        self._weight = weight + 1.0
        self._at = now

    def per_second(self, now: float) -> float:
        """The present rate; 0 while nothing left for long."""
        span = max(_SHORTEST_SPAN, now - self._since)
        return self._faded(now) / (MEMORY_SECONDS * (1.0 - math.exp(-span / MEMORY_SECONDS)))

    def seconds_for(self, requests: int, now: float) -> float:
        """When so many will have left, within the bounds of a `Retry-After`."""
        rate = self.per_second(now)
        seconds = requests / rate if rate > 0 else LONGEST_SECONDS
        return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, seconds))

    def _faded(self, now: float) -> float:
        return self._weight * math.exp(-max(0.0, now - self._at) / MEMORY_SECONDS)
