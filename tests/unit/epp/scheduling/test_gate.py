"""The affinity gate and the expected time to first token."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import orjson
import pytest

from epp.config import SchedulerConfig, default_config, parse_config
from epp.datalayer.builtin import builtin
from epp.domain import Endpoint, EndpointId, EngineMetrics, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.prompts.request import InferenceRequest
from epp.scheduling.gate import AffinityGate, ExpectedTTFTScorer
from epp.scheduling.view import SchedulingView
from epp.testing import NOBODY
from tests.unit.epp.views import matched, pool_of, spec_of, view_of

NOW = 100.0
POOL = PoolId("default/pool")


def view(
    backlogs: list[float],
    matches: dict[int, int],
    *,
    running: Sequence[int] = (),
    sharers: int = 1,
    others: int = 0,
    gap_per_request: float = 0.0001,
    max_tokens: int | None = None,
) -> SchedulingView:
    """Endpoints with seconds of prefill before them; a prompt of 6400 tokens, 10 000 tokens a second, blocks of 64."""
    prompt_tokens = 6400
    names = [f"10.0.0.{at}:8000" for at in range(len(backlogs))]
    pool, known = pool_of(spec_of(*names), NOW, block_tokens=64, known=builtin(10_000))
    for slot, (name, seconds) in enumerate(zip(names, backlogs, strict=True)):
        metrics = EngineMetrics(0, running[slot] if running else 0, 0.0)
        pool.scraped(EndpointId(name), metrics, NOW - 0.1)
        known.prefill.of(slot).free_at = NOW + seconds
        known.prefill.of(slot).speed.gap_per_request = gap_per_request
    blocks = tuple(range(1, prompt_tokens // 64 + 1))
    matched(pool, known, blocks, matches)
    for _ in range(sharers - 1):
        known.crowds.crowds.enter(blocks[max(matches.values(), default=1) - 1])
    for _ in range(others):
        known.crowds.crowds.enter(None)
    request = InferenceRequest(model="m", canonical=b"x" * 4 * prompt_tokens, max_tokens=max_tokens)
    return view_of(pool, request, NOW, blocks=blocks)


@pytest.mark.parametrize(
    ("backlogs", "matches", "expected"),
    [
        # 100 blocks are 0.64 s of prefill; 50 ms of slack.
        ([0.60, 0.0], {0: 100}, [True, True]),
        ([0.65, 0.0], {0: 100}, [True, True]),
        ([0.70, 0.0], {0: 100}, [False, True]),
        ([0.70, 0.5], {0: 100}, [True, True]),
        ([0.30, 0.0], {0: 10}, [False, True]),
        ([0.0, 0.0], {}, [True, True]),
        ([0.3, 0.0], {}, [False, True]),
    ],
)
def test_an_endpoint_is_kept_while_its_wait_costs_less_than_its_cache_saves(
    backlogs: list[float], matches: dict[int, int], expected: list[bool]
) -> None:
    assert list(AffinityGate().keep(view(backlogs, matches))) == expected


def test_patience_multiplies_what_a_saved_second_may_cost() -> None:
    seen = view([1.2, 0.0], {0: 100})
    assert list(AffinityGate(patience=1).keep(seen)) == [False, True]
    assert list(AffinityGate(patience=2).keep(seen)) == [True, True]


def test_a_prefix_that_many_share_holds_nobody_back_from_an_endpoint_that_it_needs() -> None:
    backlogs, matches = [0.3, 0.0], {0: 100}  # 0.64 s of prefill
    assert list(AffinityGate().keep(view(backlogs, matches))) == [True, True]
    assert list(AffinityGate().keep(view(backlogs, matches, sharers=10))) == [False, True]


def test_a_prefix_that_a_few_of_many_share_stays_where_it_is() -> None:
    seen = view([0.3, 0.0], {0: 100}, sharers=3, others=30)
    assert list(AffinityGate().keep(seen)) == [True, True]


def test_a_lead_over_an_endpoint_that_holds_as_much_is_worth_the_slack_alone() -> None:
    assert list(AffinityGate().keep(view([0.3, 0.0], {0: 100, 1: 100}))) == [False, True]
    assert list(AffinityGate().keep(view([0.3, 0.0], {0: 100, 1: 20}))) == [True, True]


def test_a_lead_in_requests_that_share_a_prefix_costs_what_it_adds_to_decoding() -> None:
    def keep(gap_weight: float, sharers: int) -> list[bool]:
        seen = view([0.0, 0.0], {0: 10}, running=[20, 0], gap_per_request=0.001, sharers=sharers)
        return list(AffinityGate(gap_weight=gap_weight).keep(seen))

    assert keep(0.1, sharers=20) == [False, True]  # each adds 0.15 s to an answer of 150 tokens
    assert keep(0.0, sharers=20) == [True, True]
    assert keep(0.1, sharers=1) == [True, True]  # of one conversation, time to first token alone counts


def test_a_short_answer_is_decoded_before_others_slow_it() -> None:
    seen = view([0.0, 0.0], {0: 10}, running=[20, 0], gap_per_request=0.001, sharers=20, max_tokens=5)
    assert list(AffinityGate().keep(seen)) == [True, True]


def test_somebody_is_always_kept() -> None:
    random = Random(5)
    for _ in range(200):
        backlogs = [random.random() * 10 for _ in range(5)]
        matches = {at: random.randrange(100) for at in range(5)}
        assert any(AffinityGate(slack_ms=0, patience=0).keep(view(backlogs, matches)))


def test_expected_ttft_weighs_waiting_against_computing() -> None:
    scorer = ExpectedTTFTScorer(scale_ms=100)
    # Waiting 0.5 s for a fully cached prompt against computing 0.64 s at once: 0.14 s apart.
    assert list(scorer.score(view([0.5, 0.0], {0: 100}))) == pytest.approx([1.0, 1 / 2.4])


SEED = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
"""  # queue 2, KV cache 2, prefix 3


def burst(count: int, *, same: bool, config: SchedulerConfig | None = None) -> Counter[str]:
    """Requests between two scrapes over 8 idle endpoints."""
    picker = Picker(config or default_config(), random=Random(3), replica="r", observer=NullObserver())
    ids = [EndpointId(f"10.0.0.{at}:8000") for at in range(8)]
    picker.replace_pools({POOL: PoolSpec(POOL, tuple(Endpoint(id_, id_, 8000, id_) for id_ in ids))}, 0.0)
    for id_ in ids:
        picker.scraped(POOL, id_, EngineMetrics(0, 0, 0.0, block_size=16, block_count=26_000), 1.0)
    counts: Counter[str] = Counter()
    for number in range(count):
        text = "the same words " * 800 if same else f"{number} " * 900
        body = orjson.dumps({"model": "m", "prompt": text})
        verdict = picker.submit(Request(POOL, "POST", "/v1/completions", {}, body), NOBODY, 1.03 + number * 1e-5)
        assert isinstance(verdict, Pick)
        counts[verdict.targets[0]] += 1
    return counts


@pytest.mark.parametrize("config", [default_config(), parse_config(SEED, "seed")], ids=["default", "seed"])
def test_a_burst_of_different_prompts_spreads_evenly_between_two_scrapes(config: SchedulerConfig) -> None:
    counts = burst(200, same=False, config=config)
    assert max(counts.values()) / (200 / 8) <= 1.15


@pytest.mark.parametrize("count", [20, 60, 200])
def test_one_hot_prefix_never_runs_further_ahead_than_the_gate_says(count: int) -> None:
    gate, tokens_per_second, prompt = AffinityGate(), 15_928, 12_000 // 4
    saved = prompt / tokens_per_second
    # Each further request costs its own uncached part (less than a block) and the cost of a request.
    bound = (gate.patience * saved + gate.slack_ms / 1000) / (gate.request_cost_ms / 1000) + 1
    counts = burst(count, same=True)
    assert max(counts.values()) - min((counts[f"10.0.0.{at}:8000"] for at in range(8)), default=0) <= bound


def test_one_hot_prefix_reaches_every_endpoint_before_it_queues() -> None:
    assert len(burst(200, same=True)) == 8
