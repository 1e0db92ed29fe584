"""Half of the engines are half as fast, and nothing says so."""

from dataclasses import replace
from random import Random

import pytest

from epp.config import default_config
from lab.simulation.baselines import least_request
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Measures, measure
from lab.simulation.policies import Pointsman, Policy
from lab.workloads.conversations import WORKLOADS
from model_sim import profiles
from model_sim.engine.profile import LatencyProfile

FAST, SLOW = 4, 4
WEIGHTS = [1.0] * FAST + [0.5] * SLOW
WARM, UNTIL = 15.0, 35.0
PROFILE = profiles.load("h100-llama-3.1-8b")


def half_as_fast(latency: LatencyProfile) -> LatencyProfile:
    return replace(
        latency,
        base=2 * latency.base,
        per_prefill_token=2 * latency.per_prefill_token,
        per_prefill_pair=2 * latency.per_prefill_pair,
        per_decode_sequence=2 * latency.per_decode_sequence,
        per_context_token=2 * latency.per_context_token,
    )


def measured(workload: str, rate: float, policy: Policy) -> Measures:
    wanted = WORKLOADS[workload]
    latencies = [PROFILE.latency] * FAST + [half_as_fast(PROFILE.latency)] * SLOW
    fleet = Fleet(latencies, engine_config(PROFILE, wanted), policy, 1)
    return measure(fleet.run(wanted.conversations(rate, UNTIL, 1), UNTIL), WARM, UNTIL, FAST + SLOW)


@pytest.mark.parametrize(("workload", "rate"), [("chat", 36.0), ("shared", 36.0), ("one-12000", 14.0)])
def test_speeds_are_learned_as_well_as_weights_set_by_hand(workload: str, rate: float) -> None:
    config = engine_config(PROFILE, WORKLOADS[workload])
    ours = measured(workload, rate, Pointsman(default_config(), FAST + SLOW, config, Random(1)))
    by_hand = measured(workload, rate, least_request(FAST + SLOW, Random(1), WEIGHTS))
    assert ours.goodput >= 0.97 * by_hand.goodput
    assert ours.ttft_p90 <= 1.2 * by_hand.ttft_p90
