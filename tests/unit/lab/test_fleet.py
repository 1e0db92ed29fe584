"""The lab's event loop: what policies hear, and when."""

from dataclasses import dataclass, field
from random import Random

import pytest

from epp.config import default_config
from lab.simulation.baselines import least_request, round_robin
from lab.simulation.fleet import Change, Fleet, engine_config
from lab.simulation.measures import Record, measure
from lab.simulation.policies import Failure, Pointsman, Policy
from lab.workloads.conversations import WORKLOADS, Call, Conversation, Passage, Turn, vocabulary
from model_sim.engine.engine import Snapshot
from model_sim.engine.profile import LatencyProfile
from model_sim.engine.request import Completion
from model_sim.profiles import Profile

STEP = 0.01
PER_TOKEN = 0.0001
PROFILE = Profile("test", "", LatencyProfile(base=STEP, per_prefill_token=PER_TOKEN), {"num_gpu_blocks": 4096}, ())
SHARED = WORKLOADS["shared"]


@dataclass
class Scripted:
    """Sends everything to one engine (None refuses) and notes what it hears."""

    engine: int | None = 0
    interval: float | None = None
    calls: list[tuple[str, float]] = field(default_factory=list)

    def choose(self, call: Call, now: float) -> int | None:
        self.calls.append(("choose", now))
        return self.engine

    def decided(self) -> list[tuple[str, int | None]]:
        return []

    def ended(self, call_id: str, engine: int, now: float) -> None:
        self.calls.append(("ended", now))

    def reported(self, call_id: str, engine: int, done: Completion, now: float) -> None:
        self.calls.append(("reported", now))

    def alive(self, call_id: str, ttft: float | None, seconds: float, tokens: int, now: float) -> None:
        """Healthy engines answer before a heartbeat is due."""

    def failed(self, call_id: str, engine: int, failure: Failure, now: float) -> None:
        """Healthy engines do not fail."""

    def scraped(self, engine: int, snapshot: Snapshot, now: float, computed_tokens: float) -> None:
        self.calls.append(("scraped", now))

    def scrape_interval(self, engine: int, now: float) -> float | None:
        return self.interval

    def tick(self, now: float) -> None:
        self.calls.append(("tick", now))

    def present(self, engines: frozenset[int], now: float) -> None:
        self.calls.append(("present", now))

    def times(self, what: str) -> list[float]:
        return [now for name, now in self.calls if name == what]


def passage(length: int, seed: int) -> Passage:
    return vocabulary().passage(length, Random(seed))


def conversation(id_: int, start: float, *pauses: float, output: int = 5) -> Conversation:
    turns = tuple(Turn(pause, passage(60, 1), passage(output - 1, 2)) for pause in (0.0, *pauses))
    return Conversation(id_, start, None, passage(200, 3), turns)


def run(policy: Policy, *conversations: Conversation, engines: int = 1, until: float = 100.0) -> list[Record]:
    fleet = Fleet([PROFILE.latency] * engines, engine_config(PROFILE, SHARED), policy, 0)
    return fleet.run(iter(conversations), until)


def test_a_lone_request_has_the_profile_s_latency() -> None:
    (record,) = run(Scripted(), conversation(0, 1.0))
    assert record.prompt_tokens == 265
    assert record.ttft == pytest.approx(STEP + 265 * PER_TOKEN)
    assert record.itl == pytest.approx(STEP)


def test_a_next_turn_comes_a_pause_after_the_answer_and_finds_its_history_cached() -> None:
    policy = Scripted()
    first, second = run(policy, conversation(0, 1.0, 2.5))
    (ended, _) = policy.times("ended")
    assert second.arrival == pytest.approx(ended + 2.5)
    assert first.cached_tokens == 0
    assert second.cached_tokens > first.prompt_tokens - 16


def test_a_policy_hears_of_each_end_at_once_and_of_its_log_entry_a_moment_later() -> None:
    policy = Scripted()
    run(policy, conversation(0, 1.0), conversation(1, 5.0))
    first, second = policy.times("ended")
    reported = policy.times("reported")[0]
    assert first < reported < second
    assert reported - first == pytest.approx(0.01)


def test_metrics_are_scraped_at_the_interval_the_policy_wants() -> None:
    policy = Scripted(interval=0.5)
    run(policy, conversation(0, 2.2))
    assert policy.times("scraped")[:5] == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.5])


def test_a_refused_request_is_recorded_as_lost() -> None:
    (record,) = run(Scripted(engine=None), conversation(0, 1.0))
    assert record.endpoint is None
    assert not record.is_good()


def test_a_fleet_far_beyond_saturation_is_given_up_and_its_requests_are_lost() -> None:
    endless = [conversation(number, 0.001 * number, output=10_000) for number in range(3)]
    records = run(Scripted(), *endless, until=1.0)
    assert [record.is_good() for record in records] == [False, False, False]


@pytest.mark.parametrize("policy", [lambda: round_robin(4), lambda: least_request(4, Random(1))])
def test_the_baselines_spread_requests_evenly(policy: type[Policy]) -> None:
    records = run(policy(), *[conversation(number, 1 + 0.001 * number) for number in range(40)], engines=4)
    assert measure(records, 0.0, 100.0, 4).imbalance == pytest.approx(1.0, abs=0.2)


def test_least_request_avoids_the_engine_with_a_long_answer() -> None:
    long = conversation(0, 1.0, output=500)
    short = [conversation(number, 1 + 0.5 * number) for number in range(1, 8)]
    records = run(least_request(2, Random(1)), long, *short, engines=2)
    busy = next(record.endpoint for record in records if record.arrival == 1.0)
    assert {record.endpoint for record in records if record.arrival > 1.0} == {1 - (busy or 0)}


def test_the_picker_keeps_a_conversation_where_its_history_is() -> None:
    config = engine_config(PROFILE, SHARED)
    policy = Pointsman(default_config(), 4, config, Random(1))
    records = run(policy, conversation(0, 1.0, 1.0, 1.0, 1.0), engines=4)
    assert len({record.endpoint for record in records}) == 1
    assert records[-1].cached_tokens > 200


def test_an_engine_that_goes_gets_nothing_more_and_comes_back_with_an_empty_cache() -> None:
    changes = [Change(5.0, frozenset({0})), Change(8.0, frozenset({1}))]
    policy = least_request(2, Random(1), weights=[0.1, 1.0])
    fleet = Fleet([PROFILE.latency] * 2, engine_config(PROFILE, SHARED), policy, 0)
    records = fleet.run(
        iter([conversation(number, float(at)) for number, at in enumerate((1, 2, 6, 9))]), 20.0, changes
    )
    assert [record.endpoint for record in records] == [1, 1, 0, 1]
    assert [record.cached_tokens > 0 for record in records] == [False, True, False, False]


def test_equal_seeds_give_equal_runs() -> None:
    def records() -> list[Record]:
        config = engine_config(PROFILE, SHARED)
        fleet = Fleet([PROFILE.latency] * 4, config, Pointsman(default_config(), 4, config, Random(1)), 1)
        return fleet.run(SHARED.conversations(20.0, 3.0, 1), 3.0)

    assert records() == records()
