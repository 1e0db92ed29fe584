"""Whatever doors, access log, scrapes, discovery and time do: no reservation leaks, no figure goes below nothing."""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from epp.config import default_config
from epp.datalayer.ledger import UNREPORTED_EXPIRY_SECONDS
from epp.datalayer.report import CONNECT_FAILURES
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    Feedback,
    Outcome,
    Pick,
    PickId,
    PoolId,
    PoolSpec,
    Request,
    ScrapeFault,
)
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from gateway.wire.errors import Rejection

POOL = PoolId("default/pool")
IDS = [EndpointId(f"10.0.0.{number}:8000") for number in range(4)]
HEADERS = {"content-type": "application/json"}

FLAGS = [(), *((flag,) for flag in sorted(CONNECT_FAILURES)), ("downstream_connection_termination",)]


class PickerMachine(RuleBasedStateMachine):
    picks = Bundle("picks")
    settled = Bundle("settled")

    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.live: set[PickId] = set()
        self.picker = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver())
        self.discover(3)

    @rule(count=st.integers(0, 4))
    def discover(self, count: int) -> None:
        endpoints = tuple(Endpoint(id_, id_.split(":")[0], 8000, id_) for id_ in IDS[:count])
        self.picker.replace_pools({POOL: PoolSpec(POOL, endpoints)}, self.now)

    @rule(target=picks, size=st.sampled_from([1, 500, 3000]), letter=st.sampled_from("ab"))
    def pick(self, size: int, letter: str) -> PickId | None:
        body = b'{"model": "m", "prompt": "' + letter.encode() * size + b'"}'
        verdict = self.picker.submit(Request(POOL, "POST", "/v1/completions", HEADERS, body), NOBODY, self.now)
        if isinstance(verdict, Rejection):
            assert verdict.status == 503
            return None
        assert isinstance(verdict, Pick)
        self.live.add(verdict.id)
        return verdict.id

    @rule(target=settled, pick=consumes(picks), outcome=st.sampled_from(list(Outcome)))
    def settle(self, pick: PickId | None, outcome: Outcome) -> PickId | None:
        if pick is not None:
            self.picker.settle(pick, outcome, self.now)
            self.live.discard(pick)
        return pick

    @rule(pick=settled, outcome=st.sampled_from(list(Outcome)))
    def settle_again(self, pick: PickId | None, outcome: Outcome) -> None:
        self.picker.settle(pick or PickId("r-unknown"), outcome, self.now)

    @rule(pick=st.one_of(picks, settled), is_final=st.booleans(), served=st.sampled_from([None, *IDS]),
          flags=st.sampled_from(FLAGS), cached=st.sampled_from([None, 0, 64, 10_000]),
          attempts=st.integers(1, 3))  # fmt: skip
    def report(
        self, pick: PickId | None, is_final: bool, served: EndpointId | None, flags: tuple[str, ...],
        cached: int | None,
        attempts: int,
    ) -> None:  # fmt: skip
        feedback = Feedback(
            pick or PickId("r-unknown"), POOL, is_final, served, 200, flags, attempts, 0.1, 0.5, 100, 10, cached
        )
        self.picker.observe(feedback, self.now)
        if is_final and pick is not None:
            self.live.discard(pick)

    @rule(at=st.integers(0, 3), waiting=st.integers(0, 9), running=st.integers(0, 9), started=st.integers(1, 2))
    def scrape(self, at: int, waiting: int, running: int, started: int) -> None:
        metrics = EngineMetrics(waiting, running, 0.5, block_size=16, block_count=400, started_at=started)
        self.picker.scraped(POOL, IDS[at], metrics, self.now)

    @rule(at=st.integers(0, 3), fault=st.sampled_from(list(ScrapeFault)))
    def fail_scrape(self, at: int, fault: ScrapeFault) -> None:
        self.picker.scraped(POOL, IDS[at], fault, self.now)

    @rule(
        seconds=st.sampled_from([0.001, 0.03, 1.0, 33.0, UNREPORTED_EXPIRY_SECONDS + 1]), random=st.randoms(),
        share=st.sampled_from([0.0, 0.5, 1.0]),
    )  # fmt: skip
    def wait(self, seconds: float, random: Random, share: float) -> None:
        self.now += seconds
        held = {pick for pick in sorted(self.live) if random.random() < share}
        self.picker.pass_time(self.now, held)
        if seconds > UNREPORTED_EXPIRY_SECONDS:
            self.live = held
        else:
            assert held <= {reservation.id for reservation in self.picker._settlement.ledger.live()}
            self.live = {reservation.id for reservation in self.picker._settlement.ledger.live()} & self.live

    @invariant()
    def what_is_reserved_is_what_is_live(self) -> None:
        if not hasattr(self, "picker"):
            return
        assert {reservation.id for reservation in self.picker._settlement.ledger.live()} == self.live
        carried: dict[int, tuple[int, int]] = {}
        for placement in self.picker._settlement.ledger.live():
            for share in placement.shares:
                requests, tokens = carried.get(id(share.member), (0, 0))
                carried[id(share.member)] = (requests + 1, tokens + share.tokens)
        for id_, pool in self.picker.pools.states.items():
            known = self.picker.pools._builtin[id_].load
            for member in pool.roster.members.values():
                load = known.of(member.slot, self.now)
                assert (load.in_flight, load.in_flight_tokens) == carried.get(id(member), (0, 0))
                assert load.load.waiting >= 0
                assert load.load.running >= 0
                assert 0 <= load.load.kv_usage <= 1


TestPickerMachine = PickerMachine.TestCase
TestPickerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
