"""More adapters than slots: the default loads them less often than what sees only those that run, and is faster."""

from random import Random

from epp.config import SchedulerConfig, default_config, parse_config
from model_sim import profiles
from tests.lab.fleet import Fleet, engine_config
from tests.lab.measures import measure
from tests.lab.policies import Pointsman
from tests.lab.workloads import WORKLOADS

ENGINES, RATE, UNTIL, SEED = 8, 20.0, 40.0, 81
WORKLOAD = WORKLOADS["adapters-200"]
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
LORA_AFFINITY_ALONE = HEAD + "plugins: [{type: lora-affinity-scorer}]\n"
UPSTREAM = (
    HEAD
    + """plugins: [{type: lora-affinity-scorer}, {type: queue-scorer}, {type: kv-cache-utilization-scorer},
          {type: prefix-cache-scorer}]
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: lora-affinity-scorer, weight: 1}
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""
)


def figures(config: SchedulerConfig) -> tuple[float, float]:
    """Loads per request, and p90 TTFT in the second half."""
    profile = profiles.load("h100-llama-3.1-8b")
    engine = engine_config(profile, WORKLOAD)
    fleet = Fleet([profile.latency] * ENGINES, engine, Pointsman(config, ENGINES, engine, Random(SEED)), SEED)
    records = fleet.run(WORKLOAD.conversations(RATE, UNTIL, SEED), UNTIL)
    return fleet.adapter_loads()[0] / len(records), measure(records, UNTIL / 2, UNTIL, ENGINES).ttft_p90


def test_the_default_loads_fewer_adapters_and_answers_sooner_than_the_others() -> None:
    loads, p90 = figures(default_config())
    for other in (LORA_AFFINITY_ALONE, UPSTREAM):
        other_loads, other_p90 = figures(parse_config(other, "other"))
        assert loads < 0.97 * other_loads
        assert p90 < 0.9 * other_p90
