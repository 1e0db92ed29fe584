"""A burst between two scrapes: metrics say nothing new, only the picker's own ledger does."""

from collections.abc import Callable
from random import Random

import orjson
import pytest

from epp.config import default_config
from epp.datalayer.producers.speed import PRIOR_PREFILL_TOKENS_PER_SECOND
from epp.domain import Endpoint, EndpointId, EngineMetrics, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.scheduling.gate import AffinityGate
from epp.testing import NOBODY
from lab.workloads.conversations import vocabulary

POOL = PoolId("lab/burst")
ENDPOINTS = 8
REQUESTS = 200
MOST_OVER_MEAN = 1.15
IDLE = EngineMetrics(waiting=0, running=0, kv_usage=0.0, block_size=16, block_count=27_000)


def idle_picker(seed: int) -> Picker:
    picker = Picker(default_config(), random=Random(seed), replica="lab", observer=NullObserver())
    ids = [EndpointId(f"10.0.0.{number}:8000") for number in range(1, ENDPOINTS + 1)]
    endpoints = tuple(Endpoint(id_, id_.partition(":")[0], 8000, id_) for id_ in ids)
    picker.replace_pools({POOL: PoolSpec(POOL, endpoints)}, 0.0)
    for id_ in ids:
        picker.scraped(POOL, id_, IDLE, 0.0)
    return picker


def burst(picker: Picker, prompts: list[str], *, seconds: float = 0.0) -> list[list[str]]:
    """Which prompts each endpoint got, those that got most first; all endpoints are there."""
    got: dict[str, list[str]] = {}
    for number, prompt in enumerate(prompts):
        body = orjson.dumps({"model": "m", "prompt": prompt})
        request = Request(POOL, "POST", "/v1/completions", {"content-type": "application/json"}, body)
        verdict = picker.submit(request, NOBODY, 0.001 + seconds * number / len(prompts))
        assert isinstance(verdict, Pick)
        got.setdefault(verdict.targets[0], []).append(prompt)
    shares = sorted(got.values(), key=len, reverse=True)
    return shares + [[] for _ in range(ENDPOINTS - len(shares))]


def different(count: int, seed: int, length: Callable[[Random], int]) -> list[str]:
    random = Random(seed)
    return [vocabulary().passage(length(random), random).text for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("seconds", [0.0, 0.05, 1.0])
def test_different_prompts_spread_evenly_over_idle_endpoints(seed: int, seconds: float) -> None:
    shares = burst(idle_picker(seed), different(REQUESTS, seed, lambda _: 400), seconds=seconds)
    assert len(shares[0]) / (REQUESTS / ENDPOINTS) <= MOST_OVER_MEAN


@pytest.mark.parametrize("seed", range(5))
def test_prompts_of_unequal_lengths_spread_their_work_evenly(seed: int) -> None:
    """Long prompts count for more than short ones, so that here requests per endpoint may differ more than this."""
    prompts = different(REQUESTS, seed, lambda random: max(20, int(random.lognormvariate(6, 0.5))))
    work = [sum(map(len, share)) for share in burst(idle_picker(seed), prompts)]
    assert max(work) / (sum(work) / ENDPOINTS) <= MOST_OVER_MEAN


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tokens", [200, 2000, 8000])
def test_one_shared_prompt_spreads_within_the_gates_bound(seed: int, tokens: int) -> None:
    prompt = vocabulary().passage(tokens, Random(seed)).text
    shares = burst(idle_picker(seed), [prompt] * REQUESTS)
    gate = AffinityGate()
    saved = gate.patience * len(prompt) / 4 / PRIOR_PREFILL_TOKENS_PER_SECOND
    bound = (saved + gate.slack_ms / 1000) / (gate.request_cost_ms / 1000) + 1
    assert len(shares[0]) - len(shares[-1]) <= bound
