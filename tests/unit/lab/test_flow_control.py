"""The lab lets requests wait where a configuration has flow control, and they are served in their turn."""

from math import inf
from random import Random

from epp.config import parse_config
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Record
from lab.simulation.policies import Pointsman
from lab.workloads.conversations import WORKLOADS
from model_sim import profiles

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: concurrency-detector, parameters: {maxConcurrency: 2}}]
saturationDetector: {pluginRef: concurrency-detector}
flowControl: {defaultRequestTTL: SECONDS}
"""


def records(ttl: str) -> list[Record]:
    """Twice what two servers of two slots carry, for ten seconds."""
    profile, workload = profiles.load("h100-llama-3.1-8b"), WORKLOADS["shared"]
    config = engine_config(profile, workload)
    policy = Pointsman(parse_config(CONFIG.replace("SECONDS", ttl), "c"), 2, config, Random(1))
    return Fleet([profile.latency] * 2, config, policy, 1).run(workload.conversations(8.0, 10.0, 1), 10.0)


def test_requests_that_wait_are_served_and_their_wait_counts() -> None:
    found = records("60s")

    assert all(record.endpoint is not None and record.ttft < inf for record in found)
    assert max(record.ttft for record in found) > 2.0


def test_requests_that_wait_too_long_are_refused() -> None:
    found = records("2s")

    refused = [record for record in found if record.endpoint is None]
    assert 0 < len(refused) < len(found)
    assert all(record.ttft < 4.0 for record in found if record.endpoint is not None)
