"""Requests that wait: each gets one verdict, later, by what is known then; or none, because its client left."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from epp.admission.gate import Admission, Answered, Applicant, Released
from epp.config import SchedulerConfig, default_config
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    Outcome,
    Pick,
    PickId,
    PoolId,
    PoolSpec,
    Request,
    Ticket,
    Verdict,
)
from epp.flowcontrol.eviction import Running
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.scheduling.view import SchedulingView
from gateway.wire import refusals
from gateway.wire.errors import Rejection

POOL = PoolId("default/pool")
IDS = [EndpointId(f"10.0.0.{number}:8000") for number in range(3)]


@dataclass
class SlotGate:
    """Admits while fewer than `slots` are in flight at its only pool; the others wait in order."""

    slots: int = 1
    in_flight: int = 0
    refuses: bool = False
    waiting: dict[Ticket, Applicant] = field(default_factory=dict)

    def admit(self, applicant: Applicant, now: float) -> Admission | Rejection:
        if self.in_flight < self.slots and not self.waiting:
            self.in_flight += 1
            return Admission.ADMITTED
        self.waiting[applicant.ticket] = applicant
        return Admission.WAITS

    def cancel(self, ticket: Ticket, now: float) -> None:
        del self.waiting[ticket]

    def next(self, now: float) -> Released | None:
        if not self.waiting:
            return None
        ticket = next(iter(self.waiting))
        if self.refuses:
            del self.waiting[ticket]
            return Released(ticket, refusals.saturated("waited too long"))
        if self.in_flight >= self.slots or self.waiting[ticket].look(now) is None:
            return None
        del self.waiting[ticket]
        self.in_flight += 1
        return Released(ticket)

    def victims(self, in_flight: Callable[[PoolId], Sequence[Running]], now: float) -> Sequence[Running]:
        return ()

    def answered(self, applicant: Answered, tokens: int) -> None:
        """Nothing here depends on it."""

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Nothing here depends on it."""

    def describe(
        self, look: Callable[[PoolId, float], SchedulingView | None], now: float
    ) -> Sequence[Mapping[str, object]]:
        return ()


@dataclass
class Client:
    """Takes verdicts."""

    verdicts: list[Verdict] = field(default_factory=list)

    def decide(self, verdict: Verdict, now: float) -> None:
        self.verdicts.append(verdict)


def picker_with(gate: SlotGate, endpoints: int = 3) -> Picker:
    picker = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver(), gate=gate)
    picker.replace_pools({POOL: spec(endpoints)}, 0.0)
    for id_ in IDS[:endpoints]:
        picker.scraped(POOL, id_, EngineMetrics(0, 0, 0.0), 0.5)
    return picker


def spec(endpoints: int) -> PoolSpec:
    return PoolSpec(POOL, tuple(Endpoint(id_, id_.split(":")[0], 8000, id_) for id_ in IDS[:endpoints]))


def request(text: str = "hi") -> Request:
    return Request(POOL, "POST", "/v1/completions", {}, b'{"model": "m", "prompt": "%s"}' % text.encode())


def test_a_request_that_waited_is_placed_by_what_is_known_when_its_turn_comes() -> None:
    gate, client = SlotGate(slots=1), Client()
    picker = picker_with(gate)
    first = picker.submit(request(), client, 1.0)
    assert isinstance(first, Pick)
    assert isinstance(picker.submit(request("other"), client, 1.1), Ticket)
    picker.scraped(POOL, IDS[0], EngineMetrics(9, 9, 0.9), 2.0)
    picker.scraped(POOL, IDS[1], EngineMetrics(9, 9, 0.9), 2.0)
    picker.scraped(POOL, IDS[2], EngineMetrics(0, 0, 0.0), 2.0)

    gate.in_flight -= 1
    picker.settle(first.id, Outcome.ENDED, 3.0)

    (verdict,) = client.verdicts
    assert isinstance(verdict, Pick)
    assert verdict.targets == (IDS[2],)


def test_a_request_whose_pool_went_away_is_refused_when_its_turn_comes() -> None:
    gate, client = SlotGate(slots=0), Client()
    picker = picker_with(gate)
    assert isinstance(picker.submit(request(), client, 1.0), Ticket)

    picker.replace_pools({}, 2.0)
    assert client.verdicts == []
    gate.refuses = True
    picker.pass_time(3.0)

    (verdict,) = client.verdicts
    assert isinstance(verdict, Rejection)
    assert verdict.status == 429


class WaitingMachine(RuleBasedStateMachine):
    """Clients submit, leave and finish; the gate has room or none."""

    tickets = Bundle("tickets")

    @initialize(slots=st.integers(0, 3))
    def start(self, slots: int) -> None:
        self.now = 1.0
        self.gate = SlotGate(slots)
        self.picker = picker_with(self.gate)
        self.waiting: dict[Ticket, Client] = {}
        self.cancelled: list[Client] = []
        self.live: list[PickId] = []
        self.decided: Counter[int] = Counter()

    def collect(self) -> None:
        """Move those that were decided since."""
        for ticket, client in list(self.waiting.items()):
            if client.verdicts:
                del self.waiting[ticket]
                assert len(client.verdicts) == 1
                verdict = client.verdicts[0]
                if isinstance(verdict, Pick):
                    self.live.append(verdict.id)

    @rule(target=tickets)
    def submit(self) -> Ticket | None:
        client = Client()
        verdict = self.picker.submit(request(), client, self.now)
        assert client.verdicts == []
        if isinstance(verdict, Ticket):
            assert verdict not in self.waiting
            self.waiting[verdict] = client
            return verdict
        if isinstance(verdict, Pick):
            self.live.append(verdict.id)
        return None

    @rule(ticket=consumes(tickets))
    def leave(self, ticket: Ticket | None) -> None:
        if ticket is None:
            return
        client = self.waiting.pop(ticket, None)
        self.picker.cancel(ticket, self.now)
        self.picker.cancel(ticket, self.now)
        if client is not None:
            self.cancelled.append(client)
        self.collect()

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.live:
            pick = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
            self.gate.in_flight -= 1
            self.picker.settle(pick, Outcome.ENDED, self.now)
            self.picker.settle(pick, Outcome.ENDED, self.now)
            self.collect()

    @rule(slots=st.integers(0, 3))
    def room_changes(self, slots: int) -> None:
        self.gate.slots = slots
        self.now += 1.0
        self.picker.scraped(POOL, IDS[0], EngineMetrics(0, 0, 0.0), self.now)
        self.collect()

    @rule()
    def time_runs_out(self) -> None:
        self.gate.refuses = True
        self.now += 1.0
        self.picker.pass_time(self.now)
        self.collect()
        assert not self.waiting
        self.gate.refuses = False

    @invariant()
    def a_cancelled_request_gets_no_verdict_and_nothing_leaks(self) -> None:
        if not hasattr(self, "picker"):
            return
        assert all(client.verdicts == [] for client in self.cancelled)
        assert set(self.gate.waiting) == set(self.waiting)
        assert len(self.picker._admitting._waiting) == len(self.waiting)
        assert self.gate.in_flight == len(self.live) == sum(self.picker.running().values())


TestWaitingMachine = WaitingMachine.TestCase
TestWaitingMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
