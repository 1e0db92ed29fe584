"""Metric names of the reference, and labels that clients cannot multiply."""

import pytest

from epp.datalayer.member import Member
from epp.datalayer.placement import Placement, Share
from epp.datalayer.standing.signals import Signal
from epp.domain import Endpoint, EndpointId, Feedback, Outcome, PickId, PoolId, ScrapeFault
from epp.telemetry.generations import Generations, Names
from epp.telemetry.metrics import Metrics
from epp.telemetry.words import LABEL_LIMIT, OTHER, WORD_LIMIT, Bounded
from gateway.wire.errors import ErrorCode, Rejection

POOL, ENDPOINT = PoolId("ns/a"), EndpointId("[::1]:8000")


def placement(objective: str = "") -> Placement:
    member = Member(0, Endpoint(ENDPOINT, "::1", 8000, "a"))
    return Placement(
        id=PickId("r-1"), pool=POOL, shares=(Share(member, 0),), model="qwen", target_model="qwen", objective=objective,
        fairness_id="me", priority=0, prompt_tokens=0, matched_tokens=0, block_tokens=0, blocks=(), new_from=0,
        session=None,
        placed_at=0.0, notes={},
    )  # fmt: skip


def text(metrics: Metrics) -> str:
    return metrics.registry.render()


def test_a_decision_counts_under_the_references_names() -> None:
    metrics = Metrics()
    metrics.placed(placement()._replace(target_model="qwen-v2", priority=2, prompt_tokens=100, matched_tokens=40), 450)
    shown = text(metrics)
    assert 'inference_objective_request_total{model_name="qwen",priority="2",target_model_name="qwen-v2"} 1.0' in shown
    assert (
        'inference_extension_scheduler_attempts_total{namespace="ns",pod_name="a",port="8000",status="success",'
        'target_model_name="qwen-v2"} 1.0'
    ) in shown
    assert 'inference_extension_prefix_indexer_hit_ratio_bucket{le="0.4"} 1.0' in shown
    assert 'inference_extension_prefix_indexer_hit_ratio_bucket{le="0.3"} 0.0' in shown
    assert "inference_extension_prefix_indexer_hit_bytes_sum 160.0" in shown
    assert 'inference_objective_request_sizes_sum{model_name="qwen",target_model_name="qwen-v2"} 450.0' in shown


def test_a_report_fills_the_histograms_that_it_has_figures_for() -> None:
    metrics = Metrics()
    feedback = Feedback(
        PickId("r-1"), POOL, is_final=True, status=500, ttft_seconds=0.3, duration_seconds=2.0, prompt_tokens=5,
        completion_tokens=10,
        response_bytes=900,
    )  # fmt: skip
    metrics.reported(feedback, placement(objective="food-review"))
    shown = text(metrics)
    labels = '{model_name="qwen",target_model_name="qwen"}'
    assert f"inference_objective_request_ttft_seconds_sum{labels} 0.3" in shown
    assert f"inference_objective_normalized_time_per_output_token_seconds_sum{labels} 0.2" in shown
    assert f"inference_objective_response_sizes_sum{labels} 900.0" in shown
    assert 'error_code="ModelServerError"' in shown
    assert f"inference_objective_prompt_cached_tokens_count{labels}" not in shown
    who = 'fairness_id="me",kind="completion",model_name="qwen",objective="food-review"'
    assert f"pointsman_epp_tokens_total{{{who}}} 10.0" in shown


@pytest.mark.parametrize("flag", ["upstream_connection_termination", "upstream_remote_reset", "lacks_end"])
def test_an_answer_that_breaks_off_is_counted_apart(flag: str) -> None:
    metrics = Metrics()
    cut = Feedback(PickId("r-1"), POOL, is_final=True, status=200, flags=(flag,), response_bytes=900)
    left = Feedback(PickId("r-2"), POOL, is_final=True, status=200, flags=("downstream_connection_termination",))
    for feedback in (cut, left):
        metrics.reported(feedback, placement())

    (series,) = (
        line for line in text(metrics).splitlines() if line.startswith("inference_objective_request_error_total{")
    )
    assert 'error_code="IncompleteAnswer"' in series
    assert series.endswith(" 1.0")


def test_objectives_that_clients_invent_share_one_series() -> None:
    metrics = Metrics()
    for number in range(3 * LABEL_LIMIT):
        feedback = Feedback(PickId("r-1"), POOL, is_final=True, prompt_tokens=1)
        metrics.reported(feedback, placement(objective=f"objective-{number}"))
    series = [line for line in text(metrics).splitlines() if line.startswith("pointsman_epp_tokens_total{")]
    assert len(series) <= LABEL_LIMIT + 1
    assert any(f'objective="{OTHER}"' in line for line in series)


def test_refusals_scrapes_ends_and_logs_are_counted() -> None:
    metrics = Metrics()
    metrics.rejected(None, Rejection(503, ErrorCode.NO_READY_ENDPOINT, "none"))
    metrics.scrape_succeeded(POOL)
    metrics.scrape_failed(POOL, ScrapeFault.TIMEOUT)
    metrics.settled(POOL, PickId("r-1"), Outcome.EXPIRED, 1.0)
    metrics.attempt_failed(POOL, Signal.UNREACHABLE)
    metrics.logged(2, 0, 1)
    metrics.violation("whatever")
    shown = text(metrics)
    for line in (
        'pointsman_epp_rejections_total{code="no_ready_endpoint",pool=""} 1.0',
        'error_code="ServiceUnavailable"',
        'pointsman_epp_scrapes_total{pool="ns/a",result="ok"} 1.0',
        'pointsman_epp_scrapes_total{pool="ns/a",result="timeout"} 1.0',
        'pointsman_epp_settled_total{outcome="expired",pool="ns/a"} 1.0',
        'pointsman_epp_failed_attempts_total{cause="unreachable",pool="ns/a"} 1.0',
        'pointsman_epp_access_log_entries_total{kind="final"} 2.0',
        "pointsman_epp_protocol_violations_total 1.0",
    ):
        assert line in shown
    assert 'kind="heartbeat"' not in shown


def test_models_that_clients_invent_share_one_series() -> None:
    metrics = Metrics()
    for number in range(3 * LABEL_LIMIT):
        metrics.placed(placement()._replace(model=f"model-{number}"), 0)
    series = [line for line in text(metrics).splitlines() if line.startswith("inference_objective_request_total{")]
    assert len(series) <= LABEL_LIMIT + 1
    assert any(f'model_name="{OTHER}"' in line for line in series)


def test_known_words_keep_their_own_series_when_the_limit_is_reached() -> None:
    word = Bounded(2)
    assert [word(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_pool_gauges_are_computed_when_asked_for() -> None:
    metrics = Metrics()
    endpoints = [
        {"endpoint": "e:1", "name": "pod-1", "in_flight": 7, "metrics": {"waiting": 4, "running": 1, "kv_usage": 0.5}},
        {"endpoint": "e:2", "name": "pod-1", "metrics": {"waiting": 2, "running": 1, "kv_usage": 0.3}},
        {"endpoint": "e:3", "name": "pod-2", "metrics": None},
    ]
    metrics.describe_pools(lambda: [{"pool": "ns/a", "endpoints": endpoints, "index_blocks": 12}])
    shown = text(metrics)
    for line in (
        'inference_pool_ready_pods{name="a"} 3.0',
        'inference_pool_average_queue_size{name="a"} 3.0',
        'inference_pool_average_kv_cache_utilization{name="a"} 0.4',
        'inference_extension_prefix_indexer_size{name="a"} 12.0',
        'pointsman_epp_in_flight_requests{name="a"} 7.0',
        'inference_pool_per_pod_queue_size{model_server_pod="pod-1",name="a"} 6.0',
    ):
        assert line in shown


def test_words_that_are_no_names_share_one_label() -> None:
    word = Bounded()
    assert [word("a" * WORD_LIMIT), word("a" * WORD_LIMIT + "b"), word("a\x85b")] == ["a" * WORD_LIMIT, OTHER, OTHER]


def test_running_requests_are_counted_by_model_within_the_label_limit() -> None:
    metrics = Metrics()
    running = {f"model-{number}": 2 for number in range(LABEL_LIMIT + 5)}
    metrics.describe_running(lambda: running)
    shown = text(metrics)
    assert 'inference_objective_running_requests{model_name="model-0"} 2.0' in shown
    assert 'inference_objective_running_requests{model_name="other"} 10.0' in shown


def test_pools_of_one_name_are_told_apart_by_their_namespaces() -> None:
    metrics = Metrics()
    pools: list[dict[str, object]] = [
        {"pool": name, "endpoints": [], "index_blocks": 0} for name in ("ns/a", "other/a", "ns/b")
    ]
    metrics.describe_pools(lambda: pools)
    shown = text(metrics)
    for name in ("ns/a", "other/a", "b"):
        assert f'inference_pool_ready_pods{{name="{name}"}} 0.0' in shown


def test_a_rewrite_is_counted_under_the_objects_name() -> None:
    metrics = Metrics()
    metrics.rewritten("canary", "m", "m-v2")
    labels = '{model_name="m",model_rewrite_name="canary",target_model="m-v2"}'
    assert f"inference_extension_model_rewrite_decisions_total{labels} 1.0" in text(metrics)


@pytest.mark.parametrize("names", Names)
def test_either_generation_of_names_is_shown_or_both(names: Names) -> None:
    metrics = Metrics()
    metrics.placed(placement(), 9)
    metrics.describe_pools(lambda: [{"pool": "ns/a", "endpoints": [{"name": "p", "metrics": {"waiting": 1}}]}])
    shown = Generations(metrics.registry, names).render()
    former = (
        'inference_objective_request_total{model_name="qwen",priority="0",target_model_name="qwen"} 1.0',
        'inference_objective_request_sizes_count{model_name="qwen",target_model_name="qwen"} 1.0',
        'inference_pool_per_pod_queue_size{model_server_pod="p",name="a"} 1.0',
    )
    later = (
        'llm_d_epp_request_total{model_name="qwen",priority="0",target_model_name="qwen"} 1.0',
        'llm_d_epp_request_size_bytes_count{model_name="qwen",target_model_name="qwen"} 1.0',
        'llm_d_epp_per_endpoint_queue_size{model_server_endpoint="p",name="a"} 1.0',
        "# TYPE llm_d_epp_request_size_bytes histogram",
        (
            'llm_d_epp_scheduler_attempts_total{namespace="ns",endpoint_name="a",port="8000",status="success"'
            ',target_model_name="qwen"} 1.0'
        ),
    )
    assert all((line in shown) is (names is not Names.LLM_D) for line in former)
    assert all((line in shown) is (names is not Names.INFERENCE) for line in later)
    series = [line.rpartition(" ")[0] for line in shown.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))
    assert "pointsman_epp_scrapes_total" in shown
