"""More adapters than slots: the default loads them less often than what sees only those that run, and is faster."""

from random import Random

import pytest

from epp.config import default_config
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.policies import Pointsman
from lab.workloads.conversations import WORKLOADS
from model_sim import profiles
from tests.lab.adapters import loaded, policies

RATE, SEED, WINDOW = 20.0, 81, (20.0, 40.0)


def test_the_default_loads_fewer_adapters_and_answers_sooner_than_the_others() -> None:
    *others, default = policies()
    ours = loaded(default, RATE, SEED, WINDOW)
    for each in others:
        other = loaded(each, RATE, SEED, WINDOW)
        assert ours.loads < 0.97 * other.loads
        assert ours.measures.ttft_p90 < 0.9 * other.measures.ttft_p90


@pytest.mark.parametrize(("workload", "has_adapters"), [("chat", False), ("adapters", True)])
def test_the_picker_takes_a_base_model_for_no_adapter(workload: str, has_adapters: bool) -> None:
    profile, sent = profiles.load("h100-llama-3.1-8b"), WORKLOADS[workload]
    policy = Pointsman(default_config(), 2, engine_config(profile, sent), Random(1))
    fleet = Fleet([profile.latency] * 2, engine_config(profile, sent), policy, 1)
    fleet.run(sent.conversations(8.0, 3.0, 1), 3.0)

    (found,) = policy.picker.pools.adapter_requests().values()
    assert (sum(found.values()) > 0) is has_adapters
