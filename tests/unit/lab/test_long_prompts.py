"""One long prompt for everybody: it must not leave engines idle."""

from random import Random

import pytest

from epp.config import default_config
from lab.simulation.baselines import least_request
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Measures, measure
from lab.simulation.policies import Pointsman, Policy
from lab.workloads.conversations import WORKLOADS
from model_sim import profiles

ENGINES, RATE = 4, 8.0
WARM, UNTIL = 15.0, 35.0


def measured(name: str, policy: Policy) -> Measures:
    workload, profile = WORKLOADS[name], profiles.load("h100-llama-3.1-8b")
    fleet = Fleet([profile.latency] * ENGINES, engine_config(profile, workload), policy, 3)
    records = fleet.run(workload.conversations(RATE, UNTIL, 3), UNTIL)
    return measure(records, WARM, UNTIL, ENGINES)


@pytest.mark.parametrize("length", [3000, 12_000, 24_000])
def test_a_prompt_that_all_share_is_served_by_all_as_fast_as_if_nothing_were_cached_anywhere_else(length: int) -> None:
    name = f"one-{length}"
    profile = profiles.load("h100-llama-3.1-8b")
    config = engine_config(profile, WORKLOADS[name])
    ours = measured(name, Pointsman(default_config(), ENGINES, config, Random(1)))
    plain = measured(name, least_request(ENGINES, Random(1)))  # within seconds each engine has the prompt
    assert ours.ttft_p90 <= 1.2 * plain.ttft_p90
    assert ours.itl_p90 <= 1.3 * plain.itl_p90
    assert ours.imbalance <= 2
