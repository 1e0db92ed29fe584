"""An endpoint whose load is not known is never the best: not for a scorer, not for a filter, not for saturation."""

import pytest

from epp.config import default_config, parse_config
from epp.domain import EndpointId, EngineMetrics
from epp.prompts.request import InferenceRequest
from epp.scheduling.gate import AffinityGate
from epp.scheduling.saturation import UNREPORTED_CONCURRENCY, UtilizationDetector
from epp.testing import Candidate, candidate, decide
from tests.unit.epp.views import pool_of, scraped, spec_of, view_of

BODY = {"model": "m", "prompt": "hi"}
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
LOAD_SCORERS = (
    "queue-scorer", "running-requests-size-scorer", "kv-cache-utilization-scorer", "load-aware-scorer",
    "expected-ttft-scorer",
)  # fmt: skip
UNKNOWN = {
    "everything": EngineMetrics(),
    "the queue": EngineMetrics(waiting=None, running=3, kv_usage=0.2),
    "the cache": EngineMetrics(waiting=2, running=3, kv_usage=None),
    "who runs": EngineMetrics(waiting=2, running=None, kv_usage=0.2),
}


def unknown(name: str, metrics: EngineMetrics) -> Candidate:
    known = candidate(name)
    return Candidate(known.endpoint, metrics)


@pytest.mark.parametrize("scorer", LOAD_SCORERS)
def test_no_scorer_prefers_an_endpoint_that_reports_nothing(scorer: str) -> None:
    config = f"{HEAD}plugins: [{{type: {scorer}}}]\n"
    found = [
        unknown("silent", EngineMetrics()), candidate("idle"), candidate("busy", waiting=9, running=9, kv_usage=0.9),
    ]  # fmt: skip

    scores = decide(config, found, BODY).scores[scorer]

    assert scores["silent"] == scores["busy"] < scores["idle"]


@pytest.mark.parametrize("missing", UNKNOWN)
def test_an_endpoint_that_does_not_report_all_of_its_load_does_not_win_every_pick(missing: str) -> None:
    alike = [candidate(name, waiting=2, running=3, kv_usage=0.2) for name in ("one", "two")]
    found = [unknown("silent", UNKNOWN[missing]), *alike]

    winners = {decide(default_config(), found, BODY, seed=seed).targets[0] for seed in range(20)}

    assert winners & {"one", "two"}


def test_a_pool_in_which_nobody_reports_is_served_by_what_the_picker_knows() -> None:
    found = [unknown(name, EngineMetrics()) for name in "abc"]

    decided = decide(default_config(), found, BODY, before=[{"model": "m", "prompt": str(at)} for at in range(2)])

    assert set(decided.scores["queue-scorer"].values()) == {0.0, 1.0}


def test_a_filter_with_a_bound_takes_a_missing_figure_for_the_worst() -> None:
    bound = "parameters: {conditions: [{metric: kv-cache-utilization, maxValue: 0.5}]}"
    config = f"{HEAD}plugins: [{{type: utilization-filter, {bound}}}]\n"
    silent = unknown("silent", UNKNOWN["the cache"])

    beside_full = decide(config, [silent, candidate("idle"), candidate("full", kv_usage=0.9)], BODY)
    beside_idle = decide(config, [silent, candidate("idle", kv_usage=0.2)], BODY)

    assert beside_full.removed["utilization-filter"] == ["silent", "full"]
    assert not beside_idle.removed.get("utilization-filter")


@pytest.mark.parametrize("counts_unseen", [False, True])
def test_an_endpoint_of_which_neither_queue_nor_cache_is_known_is_as_full_as_the_others(*, counts_unseen: bool) -> None:
    pool, _ = pool_of(spec_of("a", "b"))
    scraped(pool, "a", EngineMetrics(2, 1, 0.0), 1.0)
    scraped(pool, "b", EngineMetrics(None, 1, None), 1.0)
    detector = UtilizationDetector(counts_unseen=counts_unseen)

    assert detector.saturation(view_of(pool, InferenceRequest("m"), 1.0)) == pytest.approx(0.4)


def test_a_pool_that_reports_neither_queue_nor_cache_fills_with_its_requests() -> None:
    pool, known = pool_of(spec_of("a"))
    scraped(pool, "a", EngineMetrics(None, 1, None), 1.0)
    detector, member = UtilizationDetector(), pool.member(EndpointId("a"))
    assert member is not None
    seen = []
    for _ in range(UNREPORTED_CONCURRENCY):
        seen.append(detector.saturation(view_of(pool, InferenceRequest("m"), 1.0)))
        known.load.of(member.slot, 1.0).in_flight += 1

    assert seen[0] == 0.0
    assert seen[50] == pytest.approx(0.5)
    assert detector.saturation(view_of(pool, InferenceRequest("m"), 1.0)) == 1.0


def test_a_pool_that_answers_no_scrape_is_full() -> None:
    pool, _ = pool_of(spec_of("a"))

    assert UtilizationDetector().saturation(view_of(pool, InferenceRequest("m"), 1.0)) == 1.0


def test_saturation_goes_by_the_queue_where_only_the_cache_is_unknown() -> None:
    pool, _ = pool_of(spec_of("a", "b"))
    scraped(pool, "a", EngineMetrics(0, 1, 0.4), 1.0)
    scraped(pool, "b", EngineMetrics(0, 1, None), 1.0)

    assert UtilizationDetector().saturation(view_of(pool, InferenceRequest("m"), 1.0)) == pytest.approx(0.5)


def test_a_scrape_that_has_gone_stale_is_worth_no_more_than_none() -> None:
    pool, _ = pool_of(spec_of("a", "b", "c"))
    scraped(pool, "a", EngineMetrics(0, 0, 0.0), 1.0)
    scraped(pool, "b", EngineMetrics(3, 8, 0.5), 100.0)
    scraped(pool, "c", EngineMetrics(1, 2, 0.1), 100.0)

    view = view_of(pool, InferenceRequest("m"), 100.0)

    assert [*view.waiting] == [3, 3, 1]
    assert [*view.kv_usage] == [0.5, 0.5, 0.1]
    assert view.attribute("waiting-queue") == [None, 3.0, 1.0]


def test_the_gate_drops_a_stale_endpoint_where_others_are_idle_and_one_is_full() -> None:
    pool, _ = pool_of(spec_of("a", "b", "c"))
    scraped(pool, "a", EngineMetrics(0, 0, 0.0), 1.0)
    scraped(pool, "b", EngineMetrics(200, 64, 0.5), 100.0)
    scraped(pool, "c", EngineMetrics(0, 0, 0.1), 100.0)

    assert AffinityGate().keep(view_of(pool, InferenceRequest("m"), 100.0)) == [False, False, True]


def test_the_default_configuration_says_what_it_reads() -> None:
    assert parse_config(HEAD, "x").extractor.mappings()["vllm"].former_kv_usage is not None
