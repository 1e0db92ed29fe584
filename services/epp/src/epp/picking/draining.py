"""Model servers that are about to stop: they get nothing new, and are known to be idle once nothing is left. Pure.

A drain lasts longer than its order waits: by then the server has stopped, or it is not going to. What other replicas
have at a server counts as far as they share it.
"""

from typing import Final

from epp.domain import ServerDrained
from epp.picking.observer import Publisher
from epp.picking.pools import Pools

# From the end of the wait to the end of the process: it has stopped listening by then, which scrapes see.
STOPPING_SECONDS: Final = 30.0


class Draining:
    """`server` is `address:port`, or an address with every port of it, in whichever pools."""

    def __init__(self, pools: Pools, journal: Publisher | None) -> None:
        self._pools = pools
        self._journal = journal

    def begin(self, server: str, wait: float, now: float) -> bool:
        """Pick a server no more, here and at other replicas, while it is waited for and some time longer; whether any
        pool knows it."""
        seconds = wait + STOPPING_SECONDS
        is_known = self.drain(server, seconds, now)
        if is_known and self._journal is not None:
            self._journal.publish((ServerDrained(server, seconds),))
        return is_known

    def drain(self, server: str, seconds: float, now: float) -> bool:
        """Pick a server no more for so long, here alone; whether any pool knows it."""
        found = [pool.drain(server, now + seconds, now) for pool in self._pools.states.values()]
        return any(found)

    def in_flight(self, server: str) -> int:
        """Requests that a server has, of this and of other replicas."""
        return sum(
            pool.departures.in_flight(member) + self._pools.others_in_flight(id_, member.slot)
            for id_, pool in self._pools.states.items()
            for member in pool.at(server)
        )
