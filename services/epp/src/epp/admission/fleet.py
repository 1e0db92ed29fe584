"""How far one replica may fill a pool before it knows what the others have sent there meanwhile. Pure.

Queues are each replica's own, and what the others place is known some milliseconds later. In that time each takes no
more than its part of the room that it saw at the beginning, so that all together fill the pool once and not each. One
that is alone in having requests has most of the room after some of these times.
"""

from collections.abc import Callable
from typing import Final

# What others place is known by then: twice the usual lag of the journal at its 99th percentile.
UNKNOWN_SECONDS: Final = 0.02


class FleetShare:
    """Of one pool."""

    def __init__(self) -> None:
        self._began_at = float("-inf")
        self._began_with = 0.0

    def ceiling(self, ceiling: float, replicas: int, now: float, saturation: Callable[[], float]) -> float:
        """The saturation up to which this one of so many replicas lets requests in. One always goes while there is
        room at all."""
        if replicas <= 1:
            return ceiling
        if now - self._began_at > UNKNOWN_SECONDS:
            self._began_at, self._began_with = now, saturation()
        room = ceiling - self._began_with
        return self._began_with + room / replicas if room > 0 else ceiling
