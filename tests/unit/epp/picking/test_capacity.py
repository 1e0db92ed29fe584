"""/debug/pools shows what parameters say of the hardware beside what is measured."""

from random import Random
from typing import Any

import pytest

from epp.config import parse_config
from epp.domain import EngineMetrics, Outcome
from epp.picking.capacity import SAMPLES
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from tests.unit.epp.picking.driven import IDS, POOL, ask, final, spec

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: affinity-gate, parameters: {requestCostMs: 5}}
- {type: queue-scorer}
- {type: concurrency-detector, parameters: {maxConcurrency: 256}}
- {type: approx-prefix-cache-producer, parameters: {blockSizeTokens: 32, lruCapacityPerServer: 1000}}
schedulingProfiles: [{name: a, plugins: [{pluginRef: affinity-gate}, {pluginRef: queue-scorer}]}]
"""


def picker() -> Picker:
    made = Picker(parse_config(CONFIG, "test"), random=Random(1), replica="r", observer=NullObserver())
    made.replace_pools({POOL: spec()}, 0.0)
    return made


def scrape(made: Picker, running: dict[int, int], now: float) -> None:
    for at, count in running.items():
        made.scraped(POOL, IDS[at], EngineMetrics(0, count, 0.0, block_size=16, block_count=8000, started_at=1.0), now)


def capacity(made: Picker, now: float = 1.0) -> dict[str, tuple[Any, Any]]:
    (pool,) = made.pools.describe(now)
    rows: Any = pool["capacity"]
    return {row["parameter"]: (row["configured"], row["estimated"]) for row in rows}


def test_before_anything_was_seen_there_is_no_estimate() -> None:
    assert capacity(picker()) == {
        "approx-prefix-cache-producer.blockSizeTokens": (32, None),
        "approx-prefix-cache-producer.lruCapacityPerServer": (1000, None),
        "affinity-gate.requestCostMs": (5.0, None),
        "concurrency-detector.maxConcurrency": (256, None),
    }


def test_what_engines_say_and_are_seen_to_run_stands_beside_the_configured_numbers() -> None:
    made = picker()
    scrape(made, {0: 10, 1: 30, 2: 40}, 0.5)
    found = capacity(made)
    assert found["concurrency-detector.maxConcurrency"] == (256, {"least": 10, "median": 30, "most": 40})
    assert found["approx-prefix-cache-producer.blockSizeTokens"][1] == {"least": 16, "median": 16, "most": 16}
    blocks = 8000 * 16 // 64  # of 64 tokens, the least that the index takes
    assert found["approx-prefix-cache-producer.lruCapacityPerServer"][1]["median"] == blocks


def test_what_a_further_request_costs_is_estimated_once_enough_answers_were_seen() -> None:
    made = picker()
    scrape(made, dict.fromkeys(range(3), 0), 0.5)
    now = 1.0
    for number in range(3 * SAMPLES):
        pick = ask(made, "x" * 4000 + str(number), now)
        made.settle(pick.id, Outcome.ENDED, now + 1)
        made.observe(final(pick, prompt_tokens=1000, completion_tokens=100, duration_seconds=1.0), now + 1)
        now += 2
    configured, estimated = capacity(made, now)["affinity-gate.requestCostMs"]
    assert configured == 5.0
    assert estimated["least"] == pytest.approx(estimated["most"], abs=50)
    assert 0 <= estimated["median"] <= 50
