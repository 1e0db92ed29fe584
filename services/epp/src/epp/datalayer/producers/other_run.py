"""One run of another replica: its requests in flight, and whether it is still there. Pure.

A pick is over once it was settled, or once a heartbeat that came after it leaves it out; whichever comes first, and in
whatever order. The heartbeat with the highest count counts for all before it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from epp.domain import PickId, ReplicaAlive, number_of

HEARTBEAT_SECONDS: Final = 0.5
# One that has given heartbeats and is silent for so long is gone. Looked at as often as heartbeats are due, so that
# what it held ends within three seconds.
SILENT_SECONDS: Final = 2.4
# Settlements kept for placements that come late.
SETTLED_LIMIT: Final = 20_000

Legs = tuple[tuple[int, int], ...]  # slot and tokens


class Held(NamedTuple):
    """What a request holds: at which endpoints, since when."""

    legs: Legs
    at: float


class OtherRun:
    """Written by `OthersProducer` alone."""

    __slots__ = ("_listed", "_live", "_settled", "_through", "beat", "is_silent", "last_seen_at", "placed")

    def __init__(self, now: float) -> None:
        self.placed: OrderedDict[PickId, Held] = OrderedDict()
        self.last_seen_at = now
        self.is_silent = False
        self.beat = 0  # the highest
        self._settled: OrderedDict[PickId, None] = OrderedDict()
        self._listed = 0  # the beat that listed what is in flight
        self._through = 0
        self._live: frozenset[int] = frozenset()

    def is_over(self, pick_id: PickId) -> bool:
        """Whether a placement of it adds nothing."""
        return pick_id in self.placed or pick_id in self._settled or self._is_left_out(pick_id)

    def settle(self, pick_id: PickId) -> Held | None:
        """It is over; what it held, where it was placed."""
        self._settled[pick_id] = None
        if len(self._settled) > SETTLED_LIMIT:
            self._settled.popitem(last=False)
        return self.placed.pop(pick_id, None)

    def take(self, event: ReplicaAlive) -> Iterator[Held]:
        """A heartbeat; what those held that it leaves out."""
        self.beat = max(self.beat, event.beat)
        if event.live is None or event.beat <= self._listed:
            return
        self._listed, self._through, self._live = event.beat, event.through, frozenset(event.live)
        for pick_id in [pick_id for pick_id in self.placed if self._is_left_out(pick_id)]:
            yield self.placed.pop(pick_id)

    def forget_slot(self, slot: int) -> None:
        """An endpoint left."""
        for pick_id, (legs, at) in list(self.placed.items()):
            if any(leg[0] == slot for leg in legs):
                self.placed[pick_id] = Held(tuple(leg for leg in legs if leg[0] != slot), at)

    def has_vanished(self, now: float) -> bool:
        """Whether it stopped beating a moment ago."""
        return self.beat > 0 and not self.is_silent and now - self.last_seen_at > SILENT_SECONDS

    def oldest_at(self) -> float:
        """When the first of its requests came."""
        return next(iter(self.placed.values())).at

    def _is_left_out(self, pick_id: PickId) -> bool:
        number = number_of(pick_id) if self._through else None
        return number is not None and number <= self._through and number not in self._live
