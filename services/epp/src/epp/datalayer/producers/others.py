"""Other replicas' requests: what they have in flight at each endpoint, as far as they share it. Pure.

Counted apart from this picker's own, by the run of the replica that placed them. A run gives heartbeats; what one holds
that is silent does not count, until it is seen again. A replica of an earlier release gives none: what it does not
settle is forgotten after a while.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final

from epp.datalayer.events import EndpointJoined, EndpointLeft, HeartbeatDue, TimePassed
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.other_run import Legs, OtherRun
from epp.domain import EndpointId, PickPlaced, PickSettled, ReplicaAlive, RunId, run_of

# As long as the ledger keeps a reservation that nobody reports on.
FORGET_SECONDS: Final = 300.0
# Requests in flight at all other replicas together; beyond it the oldest of the fullest run is forgotten. Some 30 MB.
PICKS_LIMIT: Final = 100_000
# Runs known at a time: more replicas than anybody has, each restarted now and then.
RUNS_LIMIT: Final = 256


class OthersProducer:
    """Folds events in any order, each any number of times: a request counts while it was placed and not settled."""

    def __init__(self) -> None:
        self._slots: dict[EndpointId, int] = {}
        self._runs: OrderedDict[RunId, OtherRun] = OrderedDict()  # the one seen last at the end
        self._counts: dict[int, int] = {}
        self._tokens: dict[int, int] = {}

    def handles(self) -> Handlers:
        """Placements and settlements elsewhere, and heartbeats."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            PickPlaced: self._place,
            PickSettled: self._settle,
            ReplicaAlive: self._alive,
            HeartbeatDue: self._look_for_silence,
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

    def in_flight_tokens(self, slot: int) -> int:
        """Their tokens."""
        return self._tokens.get(slot, 0)

    def live_runs(self) -> Iterator[RunId]:
        """Those that beat, and are not silent."""
        return (id_ for id_, run in self._runs.items() if run.beat and not run.is_silent)

    def describe(self, now: float) -> list[dict[str, object]]:
        """Each run, for people."""
        return [
            {
                "run": id_,
                "standing": "silent" if run.is_silent else "alive",
                "last_seen_seconds_ago": round(now - run.last_seen_at, 3),
                "in_flight": len(run.placed),
            }
            for id_, run in self._runs.items()
        ]

    def _joined(self, event: EndpointJoined, now: float) -> None:
        del now
        self._slots[event.member.id] = event.member.slot

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        slot = event.member.slot
        self._slots.pop(event.member.id, None)
        self._counts.pop(slot, None)
        self._tokens.pop(slot, None)
        for run in self._runs.values():
            run.forget_slot(slot)

    def _place(self, event: PickPlaced, now: float) -> None:
        run = self._seen(run_of(event.pick_id), now)
        if run.is_over(event.pick_id):
            return
        legs = tuple(
            (slot, tokens) for endpoint, tokens in event.legs if (slot := self._slots.get(endpoint)) is not None
        )
        run.placed[event.pick_id] = (legs, now)
        self._count(run, legs, 1)
        if sum(len(each.placed) for each in self._runs.values()) > PICKS_LIMIT:
            self._forget_oldest(max(self._runs.values(), key=lambda each: len(each.placed)))

    def _settle(self, event: PickSettled, now: float) -> None:
        run = self._seen(run_of(event.pick_id), now)
        self._count(run, run.settle(event.pick_id), -1)

    def _alive(self, event: ReplicaAlive, now: float) -> None:
        run = self._seen(event.run, now)
        for legs in run.take(event):
            self._count(run, legs, -1)

    def _seen(self, id_: RunId, now: float) -> OtherRun:
        run = self._runs.get(id_)
        if run is None:
            run = self._runs[id_] = OtherRun(now)
            if len(self._runs) > RUNS_LIMIT:
                _, gone = self._runs.popitem(last=False)
                self._silence(gone)
            return run
        self._runs.move_to_end(id_)
        run.last_seen_at = now
        if run.is_silent:
            run.is_silent = False
            for legs, _ in run.placed.values():
                self._count(run, legs, 1)
        return run

    def _look_for_silence(self, event: HeartbeatDue, now: float) -> None:
        del event
        for run in self._runs.values():
            if run.has_vanished(now):
                self._silence(run)

    def _silence(self, run: OtherRun) -> None:
        for legs, _ in run.placed.values():
            self._count(run, legs, -1)
        run.is_silent = True

    def _time_passed(self, event: TimePassed, now: float) -> None:
        del event
        for id_, run in list(self._runs.items()):
            while run.placed and now - run.oldest_at() > FORGET_SECONDS:
                self._forget_oldest(run)
            if not run.placed and now - run.last_seen_at > FORGET_SECONDS:
                del self._runs[id_]

    def _forget_oldest(self, run: OtherRun) -> None:
        _, (legs, _) = run.placed.popitem(last=False)
        self._count(run, legs, -1)

    def _count(self, run: OtherRun, legs: Legs, sign: int) -> None:
        if run.is_silent:
            return
        for slot, tokens in legs:
            self._counts[slot] = self._counts.get(slot, 0) + sign
            self._tokens[slot] = self._tokens.get(slot, 0) + sign * tokens
