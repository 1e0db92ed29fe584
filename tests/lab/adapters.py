"""What LoRA adapters cost under a policy: loads onto the servers for each request. Pure.

Beside the default: `lora-affinity-scorer` alone, which sees the adapters that run, and the guide of upstream with that
scorer added.
"""

from collections.abc import Mapping
from random import Random
from typing import Final, NamedTuple

from epp.config import SchedulerConfig, default_config, parse_config
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Measures, measure
from lab.simulation.policies import Pointsman
from lab.workloads.conversations import WORKLOADS
from model_sim import profiles

ENGINES: Final = 8
WORKLOAD: Final = WORKLOADS["adapters-200"]
_HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
LORA_AFFINITY_ALONE = _HEAD + "plugins: [{type: lora-affinity-scorer}]\n"
UPSTREAM = (
    _HEAD
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


class Loaded(NamedTuple):
    """A run's figures; loads are per request that arrived in the window, of which those from disk."""

    measures: Measures
    loads: float
    disk_loads: float


def policies() -> Mapping[str, SchedulerConfig]:
    """By name, the default last."""
    return {
        "lora-affinity alone": parse_config(LORA_AFFINITY_ALONE, "alone"),
        "upstream's guide with lora-affinity": parse_config(UPSTREAM, "upstream"),
        "default": default_config(),
    }


def loaded(policy: str, rate: float, seed: int, window: tuple[float, float]) -> Loaded:
    """200 adapters with Zipf popularity on 8 servers of 4 slots; the window's beginning and end in seconds."""
    profile = profiles.load("h100-llama-3.1-8b")
    engine = engine_config(profile, WORKLOAD)
    counts: list[tuple[int, int]] = []

    def count(now: float) -> None:
        if round(now) in window:
            counts.append(fleet.adapter_loads())

    chooser = Pointsman(policies()[policy], ENGINES, engine, Random(f"picker {seed}"))
    fleet = Fleet([profile.latency] * ENGINES, engine, chooser, seed, each_second=count)
    begin, end = window
    records = fleet.run(WORKLOAD.conversations(rate, end, seed), end)
    requests = sum(begin <= record.arrival < end for record in records)
    (loads, disk), (later_loads, later_disk) = counts[0], counts[-1]
    found = measure(records, begin, end, ENGINES)
    return Loaded(found, (later_loads - loads) / requests, (later_disk - disk) / requests)
