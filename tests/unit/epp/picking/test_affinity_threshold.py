"""The seed configuration's trade between a cached prefix and load, on both sides of its threshold."""

from random import Random

import orjson
import pytest

from epp.config import parse_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from tests.unit.epp.seed import SEED

POOL = PoolId("default/pool")
IDS = [EndpointId(f"10.0.0.{n}:8000") for n in range(1, 4)]


def picker(seed: int = 0) -> Picker:
    made = Picker(parse_config(SEED, "seed"), random=Random(seed), replica="r", observer=NullObserver())
    endpoints = tuple(Endpoint(id_, id_.split(":")[0], 8000, id_) for id_ in IDS)
    made.replace_pools({POOL: PoolSpec(POOL, endpoints)}, 0.0)
    for id_ in IDS:
        made.scraped(POOL, id_, EngineMetrics(waiting=0, running=0, kv_usage=0.1), 1.0)
    return made


def chat(text: str) -> Request:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    return Request(POOL, "POST", "/v1/chat/completions", {"content-type": "application/json"}, body)


def pick(made: Picker, text: str, now: float) -> Pick:
    verdict = made.submit(chat(text), NOBODY, now)
    assert isinstance(verdict, Pick)
    return verdict


@pytest.mark.parametrize("seed", range(5))
def test_two_requests_with_the_same_long_prefix_go_to_the_same_endpoint(seed: int) -> None:
    made = picker(seed)
    first = pick(made, "word " * 4000 + "one", 2.0)
    second = pick(made, "word " * 4000 + "two", 2.1)
    assert first.targets == second.targets


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("lead", [0.4, 0.6])
def test_an_overloaded_endpoint_loses_its_prefix_only_above_the_threshold(lead: float, ended: bool) -> None:
    made = picker()
    first = pick(made, "word " * 3000, 2.0)
    if ended:
        made.settle(first.id, Outcome.ENDED, 2.05)
    for id_ in IDS:
        is_first = id_ == first.targets[0]
        metrics = EngineMetrics(
            waiting=50 if is_first else 0, running=3 if is_first else 0, kv_usage=0.1 + (lead if is_first else 0.0)
        )
        made.scraped(POOL, id_, metrics, 3.0)
    second = pick(made, "word " * 3000, 3.1)
    assert (second.targets == first.targets) == (lead < 0.5)
