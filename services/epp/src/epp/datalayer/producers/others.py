"""Other replicas' requests: what they have in flight at each endpoint, as far as they share it. Pure.

Entered in each endpoint's load beside this picker's own, by the run of the replica that placed them. A run gives
heartbeats; what one holds that is silent does not count, until it is seen again. A replica of an earlier release gives
none: what it does not settle is forgotten after a while.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final

from epp.datalayer.events import EndpointJoined, EndpointLeft, HeartbeatDue, TimePassed
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.load import LoadProducer
from epp.datalayer.producers.other_run import Held, OtherRun
from epp.datalayer.producers.prefill import PrefillProducer
from epp.datalayer.shared import NO_RUN
from epp.domain import EndpointId, PickPlaced, PickSettled, PoolId, ReplicaAlive, RunId, run_of

# As long as the ledger keeps a reservation that nobody reports on.
FORGET_SECONDS: Final = 300.0
# Requests in flight at all other replicas together; beyond it the oldest of the fullest run is forgotten. Some 30 MB.
PICKS_LIMIT: Final = 100_000
# Runs known at a time: more replicas than anybody has, each restarted now and then.
RUNS_LIMIT: Final = 256


class OthersProducer:
    """Folds events in any order, each any number of times: a request counts while it was placed and not settled."""

    def __init__(self, load: LoadProducer, prefill: PrefillProducer, own: RunId = NO_RUN) -> None:
        self._own = own  # what a snapshot has of this run is known better here
        self._load = load
        self._prefill = prefill
        self._slots: dict[EndpointId, int] = {}
        self._runs: OrderedDict[RunId, OtherRun] = OrderedDict()  # the one seen last at the end

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
        """How many replicas there are. Requests are in the load."""
        return {"replicas": lambda _, slots: [1 + sum(1 for _ in self.live_runs())] * len(slots)}

    def live_runs(self) -> Iterator[RunId]:
        """Those that beat, and are not silent."""
        return (id_ for id_, run in self._runs.items() if run.beat and not run.is_silent)

    def facts(self, pool: PoolId) -> Iterator[PickPlaced]:
        """What they have in flight, for a replica that lacks it."""
        ids = {slot: id_ for id_, slot in self._slots.items()}
        for run in tuple(self._runs.values()):
            for pick_id, held in () if run.is_silent else tuple(run.placed.items()):
                legs = tuple((ids[slot], tokens) for slot, tokens in held.legs if slot in ids)
                yield PickPlaced(pool, pick_id, legs)

    def seen_since(self, at: float) -> list[RunId]:
        """Those that beat, and gave a sign since then."""
        return [id_ for id_, run in self._runs.items() if run.beat and run.last_seen_at >= at]

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
        for run in self._runs.values():
            run.forget_slot(slot)

    def _place(self, event: PickPlaced, now: float) -> None:
        run_id = run_of(event.pick_id)
        if run_id == self._own:
            return
        run = self._seen(run_id, now)
        if run.is_over(event.pick_id):
            return
        prompts = event.prompts or (tokens for _, tokens in event.legs)
        for (endpoint, _), prompt in zip(event.legs, prompts, strict=False):
            if endpoint in self._slots:
                self._prefill.placed_elsewhere(self._slots[endpoint], prompt, now)
        legs = tuple(
            (slot, tokens) for endpoint, tokens in event.legs if (slot := self._slots.get(endpoint)) is not None
        )
        held = run.placed[event.pick_id] = Held(legs, now)
        self._count_in(held, now)
        if sum(len(each.placed) for each in self._runs.values()) > PICKS_LIMIT:
            self._forget_oldest(max(self._runs.values(), key=lambda each: len(each.placed)), now)

    def _settle(self, event: PickSettled, now: float) -> None:
        run = self._seen(run_of(event.pick_id), now)
        held = run.settle(event.pick_id)
        if held is not None:
            self._count_out(held, now)

    def _alive(self, event: ReplicaAlive, now: float) -> None:
        run = self._seen(event.run, now)
        for held in run.take(event):
            self._count_out(held, now)

    def _seen(self, id_: RunId, now: float) -> OtherRun:
        run = self._runs.get(id_)
        if run is None:
            run = self._runs[id_] = OtherRun(now)
            if len(self._runs) > RUNS_LIMIT:
                _, gone = self._runs.popitem(last=False)
                self._silence(gone, now)
            return run
        self._runs.move_to_end(id_)
        run.last_seen_at = now
        if run.is_silent:
            run.is_silent = False
            for held in run.placed.values():
                self._count_in(held, now)
        return run

    def _look_for_silence(self, event: HeartbeatDue, now: float) -> None:
        del event
        for run in self._runs.values():
            if run.has_vanished(now):
                self._silence(run, now)

    def _silence(self, run: OtherRun, now: float) -> None:
        if not run.is_silent:
            for held in run.placed.values():
                self._count_out(held, now)
        run.is_silent = True

    def _time_passed(self, event: TimePassed, now: float) -> None:
        del event
        for id_, run in list(self._runs.items()):
            while run.placed and now - run.oldest_at() > FORGET_SECONDS:
                self._forget_oldest(run, now)
            if not run.placed and now - run.last_seen_at > FORGET_SECONDS:
                del self._runs[id_]

    def _forget_oldest(self, run: OtherRun, now: float) -> None:
        _, held = run.placed.popitem(last=False)
        if not run.is_silent:
            self._count_out(held, now)

    def _count_in(self, held: Held, now: float) -> None:
        for slot, tokens in held.legs:
            self._load.placed_elsewhere(slot, tokens, now)

    def _count_out(self, held: Held, now: float) -> None:
        for slot, tokens in held.legs:
            self._load.ended_elsewhere(slot, tokens, held.at, now)
