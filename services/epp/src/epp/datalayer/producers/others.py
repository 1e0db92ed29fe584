"""Other replicas' requests: what they have in flight at each endpoint, as far as they share it. Pure.

Counted apart from this picker's own. A request that is never settled, because its replica vanished, is forgotten after
a while.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from epp.datalayer.events import EndpointJoined, EndpointLeft, TimePassed
from epp.datalayer.producer import Column, Handlers
from epp.domain import EndpointId, PickId, PickPlaced, PickSettled

# As long as the ledger keeps a reservation that nobody reports on.
FORGET_SECONDS: Final = 300.0
# Requests in flight at all other replicas together; beyond it the oldest is forgotten. Some 30 MB.
PICKS_LIMIT: Final = 100_000


class OthersProducer:
    """Folds events in any order, each any number of times: a request counts while it was placed and not settled."""

    def __init__(self) -> None:
        self._slots: dict[EndpointId, int] = {}
        self._counts: dict[int, int] = {}
        self._tokens: dict[int, int] = {}
        self._placed: OrderedDict[PickId, tuple[tuple[tuple[int, int], ...], float]] = OrderedDict()
        self._settled: OrderedDict[PickId, None] = OrderedDict()

    def handles(self) -> Handlers:
        """Placements and settlements elsewhere."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            PickPlaced: self._place,
            PickSettled: self._settle,
            TimePassed: self._time_passed,
        }

    def columns(self) -> Mapping[str, Column]:
        """Requests and tokens in flight that others placed."""
        return {
            "others_in_flight": lambda _, slots: [self._counts.get(slot, 0) for slot in slots],
            "others_in_flight_tokens": lambda _, slots: [self._tokens.get(slot, 0) for slot in slots],
        }

    def in_flight(self, slot: int) -> int:
        """Requests that others have at one endpoint."""
        return self._counts.get(slot, 0)

    def _joined(self, event: EndpointJoined, now: float) -> None:
        del now
        self._slots[event.member.id] = event.member.slot

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        slot = event.member.slot
        self._slots.pop(event.member.id, None)
        self._counts.pop(slot, None)
        self._tokens.pop(slot, None)
        for pick_id, (legs, at) in list(self._placed.items()):
            kept = tuple(leg for leg in legs if leg[0] != slot)
            if kept != legs:
                self._placed[pick_id] = (kept, at)

    def _place(self, event: PickPlaced, now: float) -> None:
        if event.pick_id in self._placed or event.pick_id in self._settled:
            return
        legs = tuple(
            (slot, tokens) for endpoint, tokens in event.legs if (slot := self._slots.get(endpoint)) is not None
        )
        self._count(legs, 1)
        self._placed[event.pick_id] = (legs, now)
        if len(self._placed) > PICKS_LIMIT:
            self._forget_oldest()

    def _settle(self, event: PickSettled, now: float) -> None:
        del now
        known = self._placed.pop(event.pick_id, None)
        if known is not None:
            self._count(known[0], -1)
        self._settled[event.pick_id] = None
        if len(self._settled) > PICKS_LIMIT:
            self._settled.popitem(last=False)

    def _time_passed(self, event: TimePassed, now: float) -> None:
        del event
        while self._placed and now - next(iter(self._placed.values()))[1] > FORGET_SECONDS:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, (legs, _) = self._placed.popitem(last=False)
        self._count(legs, -1)

    def _count(self, legs: tuple[tuple[int, int], ...], sign: int) -> None:
        for slot, tokens in legs:
            self._counts[slot] = self._counts.get(slot, 0) + sign
            self._tokens[slot] = self._tokens.get(slot, 0) + sign * tokens
