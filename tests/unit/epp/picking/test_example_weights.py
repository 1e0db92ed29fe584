"""The example with upstream's weights: queue 2, KV cache 2, prefix 3."""

from random import Random

import orjson
import pytest

from epp.config import parse_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from tests.conftest import ROOT

POOL = PoolId("default/pool")
IDS = [EndpointId("10.0.0.1:8000"), EndpointId("10.0.0.2:8000")]
TEXT = (ROOT / "config" / "examples" / "queue-kv-prefix.yaml").read_text()


def pick(picker: Picker, now: float) -> EndpointId:
    body = orjson.dumps({"model": "m", "prompt": "Consider the following with care. " * 80})
    verdict = picker.submit(Request(POOL, "POST", "/v1/completions", {}, body), NOBODY, now)
    assert isinstance(verdict, Pick)
    picker.settle(verdict.id, Outcome.ENDED, now)
    return verdict.targets[0]


@pytest.mark.parametrize(("usage", "stays"), [(0.4, True), (0.65, False)])
def test_a_prefix_holds_its_server_until_it_is_0_6_fuller_than_the_others(usage: float, stays: bool) -> None:
    """With the longest queue, too: 3 for the prefix against 2 for the queue and 2 × usage for the cache."""
    picker = Picker(parse_config(TEXT, "example"), random=Random(1), replica="r", observer=NullObserver())
    picker.replace_pools({POOL: PoolSpec(POOL, tuple(Endpoint(id_, "h", 1, "n") for id_ in IDS))}, 0.0)
    for id_ in IDS:
        picker.scraped(POOL, id_, EngineMetrics(0, 0, 0.0), 0.5)
    first = pick(picker, 1.0)
    assert pick(picker, 1.1) == first

    for id_ in IDS:
        is_first = id_ == first
        picker.scraped(POOL, id_, EngineMetrics(10 * is_first, 0, usage * is_first), 2.0)

    assert (pick(picker, 2.1) == first) is stays
