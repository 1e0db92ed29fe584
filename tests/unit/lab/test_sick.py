"""One sick engine of eight, in six ways: what is lost after ten seconds, and when it is back. In virtual time."""

from collections.abc import Iterator
from random import Random

import pytest

from epp.config import default_config
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.policies import Pointsman
from lab.simulation.sickness import sicknesses
from lab.workloads.conversations import WORKLOADS, Conversation, Turn, vocabulary
from model_sim.engine.profile import LatencyProfile
from model_sim.profiles import Profile

ENGINES = 8
RATE = 16.0
BEGIN, END, UNTIL = 20.0, 65.0, 105.0
PROFILE = Profile("test", "", LatencyProfile(base=0.01, per_prefill_token=0.0001), {"num_gpu_blocks": 4096}, ())
SETTLING_SECONDS = 10.0
MOST_LOST = 0.03
BACK_SECONDS = 30.0


def conversations(seed: int) -> Iterator[Conversation]:
    """Short questions to twenty assistants; answers of a second."""
    random, words = Random(seed), vocabulary()
    systems = [words.passage(120, random) for _ in range(20)]
    at, number = 0.0, 0
    while (at := at + random.expovariate(RATE)) < UNTIL:
        turn = Turn(0.0, words.passage(40, random), words.passage(80, random))
        yield Conversation(number, at, None, random.choice(systems), (turn,))
        number += 1


@pytest.mark.parametrize("name", sicknesses(BEGIN, END))
def test_a_sick_engine_costs_little_after_ten_seconds_and_is_back_half_a_minute_after_its_recovery(name: str) -> None:
    config = engine_config(PROFILE, WORKLOADS["shared"])
    policy = Pointsman(default_config(), ENGINES, config, Random(1))
    shares: list[tuple[float, float]] = []
    fleet = Fleet(
        [PROFILE.latency] * ENGINES, config, policy, 1,
        sickness=sicknesses(BEGIN, END)[name],
        each_second=lambda now: shares.append((now, policy.share(0, now))),
    )  # fmt: skip

    records = fleet.run(conversations(1), UNTIL)

    inside = [record for record in records if BEGIN + SETTLING_SECONDS <= record.arrival < END]
    lost = sum(not record.is_good() for record in inside)
    assert lost / len(inside) <= MOST_LOST
    assert {share for at, share in shares if END + BACK_SECONDS <= at < UNTIL} == {1.0}
    assert {share for at, share in shares if 2.0 < at < BEGIN} == {1.0}
