"""Reservations: what was placed and is not settled. Pure.

A reservation is released exactly once: when its ext_proc stream ends, when its final access-log entry arrives, or when
it expires. Later calls find nothing and change nothing. A released placement stays for a while, bounded, since its
access-log entry usually comes after its end.
"""

from collections import OrderedDict
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from epp.datalayer.placement import Placement
from epp.domain import PickId
from gateway.wire.protocol import HEARTBEAT_SECONDS

# So many heartbeats of the access log missed end a reservation. One that comes so much after its time is late, not
# missed: entries travel in batches, by way of another replica too.
MISSED_HEARTBEATS: Final = 3
LATE_SECONDS: Final = 2.0
SILENT_SECONDS: Final = MISSED_HEARTBEATS * HEARTBEAT_SECONDS + LATE_SECONDS
# Where no heartbeat ever came, only the transport knows; this ends what a lost transport left behind.
UNREPORTED_EXPIRY_SECONDS: Final = 300.0
# Released placements kept for their access-log entry: ten seconds at 400 requests a second.
SETTLED_LIMIT: Final = 4096


@dataclass(slots=True)
class _Live:
    """A placement that is not settled, and when it last gave a sign of life."""

    placement: Placement
    seen_at: float
    has_heartbeat: bool = False


class Ledger:
    """All reservations of one picker, over all pools."""

    def __init__(self) -> None:
        self._live: dict[PickId, _Live] = {}
        self._settled: OrderedDict[PickId, Placement] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def live(self) -> Iterator[Placement]:
        """What is in flight, oldest first."""
        return (live.placement for live in self._live.values())

    def reserve(self, placement: Placement) -> None:
        """Enter a placement."""
        self._live[placement.id] = _Live(placement, placement.placed_at)

    def release(self, pick_id: PickId) -> Placement | None:
        """Take a placement out. None if it was released before, or never entered."""
        live = self._live.pop(pick_id, None)
        if live is None:
            return None
        self._settled[pick_id] = live.placement.trimmed()
        if len(self._settled) > SETTLED_LIMIT:
            self._settled.popitem(last=False)
        return live.placement

    def report(self, pick_id: PickId) -> Placement | None:
        """A released placement whose access-log entry came: handed over once."""
        return self._settled.pop(pick_id, None)

    def heartbeat(self, pick_id: PickId, now: float) -> None:
        """A request is alive."""
        live = self._live.get(pick_id)
        if live is not None:
            live.seen_at, live.has_heartbeat = now, True

    def overdue(self, now: float, held: Container[PickId]) -> list[PickId]:
        """Placements without a sign of life for too long, but for those whose transport holds them open."""
        return [
            pick_id
            for pick_id, live in self._live.items()
            if now - live.seen_at > (SILENT_SECONDS if live.has_heartbeat else UNREPORTED_EXPIRY_SECONDS)
            and pick_id not in held
        ]
