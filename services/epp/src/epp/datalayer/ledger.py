"""Reservations: what was placed and is not settled. Pure.

A reservation is released exactly once: when its ext_proc stream ends, when its final access-log entry arrives, or when
it expires. Later calls find nothing and change nothing. A released placement stays for a while, bounded, since its
access-log entry usually comes after its end.
"""

from collections import OrderedDict
from collections.abc import Container, Iterator
from typing import Final

from epp.datalayer.placement import Placement
from epp.domain import PickId
from gateway.wire.protocol import HEARTBEAT_SECONDS

# So many heartbeats of the access log missed end a reservation. One that comes so much after its time is late, not
# missed: entries travel in batches, by way of another replica too.
MISSED_HEARTBEATS: Final = 6
LATE_SECONDS: Final = 2.0
SILENT_SECONDS: Final = MISSED_HEARTBEATS * HEARTBEAT_SECONDS + LATE_SECONDS
# Where no heartbeat came of any request, only the transport knows; this ends what a lost transport left behind. Where
# some came within this time, a request that gives none has ended, and its end went to a replica that cannot pass it on.
UNREPORTED_EXPIRY_SECONDS: Final = 300.0
# Released placements kept for their access-log entry: ten seconds at 400 requests a second.
SETTLED_LIMIT: Final = 4096


class Ledger:
    """All reservations of one picker, over all pools."""

    def __init__(self) -> None:
        self._live: dict[PickId, Placement] = {}
        self._heartbeats: dict[PickId, float] = {}  # the last of each live placement that ever gave one
        self._last_heartbeat = float("-inf")  # of any placement
        self._settled: OrderedDict[PickId, Placement] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, pick_id: PickId) -> bool:
        return pick_id in self._live

    def live(self) -> Iterator[Placement]:
        """What is in flight, oldest first."""
        return iter(self._live.values())

    def reserve(self, placement: Placement) -> None:
        """Enter a placement."""
        self._live[placement.id] = placement

    def release(self, pick_id: PickId) -> Placement | None:
        """Take a placement out. None if it was released before, or never entered."""
        placement = self._live.pop(pick_id, None)
        if placement is None:
            return None
        self._heartbeats.pop(pick_id, None)
        self._settled[pick_id] = placement.trimmed()
        if len(self._settled) > SETTLED_LIMIT:
            self._settled.popitem(last=False)
        return placement

    def report(self, pick_id: PickId) -> Placement | None:
        """A released placement whose access-log entry came: handed over once."""
        return self._settled.pop(pick_id, None)

    def heartbeat(self, pick_id: PickId, now: float) -> Placement | None:
        """A request is alive; its placement, None if that was released."""
        placement = self._live.get(pick_id)
        if placement is not None:
            self._heartbeats[pick_id] = self._last_heartbeat = now
        return placement

    def find(self, pick_id: PickId) -> Placement | None:
        """A placement that is live, or whose report is still to come."""
        return self._live.get(pick_id) or self._settled.get(pick_id)

    def overdue(self, now: float, held: Container[PickId]) -> list[PickId]:
        """Placements without a sign of life for too long, but for those whose transport holds them open."""
        are_beating = now - self._last_heartbeat < UNREPORTED_EXPIRY_SECONDS
        unreported = SILENT_SECONDS if are_beating else UNREPORTED_EXPIRY_SECONDS
        return [
            pick_id
            for pick_id, placement in self._live.items()
            if now > self._ends_at(placement, unreported) and pick_id not in held
        ]

    def _ends_at(self, placement: Placement, unreported: float) -> float:
        """How long a placement lives without a further sign; `unreported` seconds without any."""
        heartbeat = self._heartbeats.get(placement.id)
        return placement.placed_at + unreported if heartbeat is None else heartbeat + SILENT_SECONDS
