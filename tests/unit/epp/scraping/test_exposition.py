"""Real model servers' expositions, and what is none."""

import time

import pytest

from epp.config.engines import BUILT_IN, EngineMapping, MetricSelector
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId
from epp.scraping import exposition
from epp.scraping.exposition import MalformedError, samples
from epp.scraping.gaps import gaps
from epp.scraping.schedule.target import ScrapeTarget

VLLM = BUILT_IN["vllm"]

TEXT = b"""\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 9607.0
process_start_time_seconds 1.75e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-32B"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-32B"} 5.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="Qwen/Qwen3-32B",reason="capacity"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="Qwen/Qwen3-32B"} 0.25
vllm:lora_requests_info{max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""} 1.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="food, code",waiting_lora_adapters="third"} 1.75e+09
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="8192",sliding_window="None"} 1.0
vllm:time_to_first_token_seconds_bucket{le="0.001",model_name="Qwen/Qwen3-32B"} 0.0
"""


def test_vllms_figures_are_read() -> None:
    assert exposition.parse(TEXT, VLLM) == EngineMetrics(
        waiting=5, running=3, kv_usage=0.25, active_adapters=frozenset({"food", "code"}),
        waiting_adapters=frozenset({"third"}), max_adapters=4, block_size=16, block_count=8192, started_at=1.75e9,
    )  # fmt: skip


def test_engines_behind_one_endpoint_add_up_and_the_fullest_cache_counts() -> None:
    found = exposition.parse(TEXT + TEXT.replace(b'engine="0"', b'engine="1"').replace(b"0.25", b"0.75"), VLLM)
    assert (found.waiting, found.running, found.kv_usage) == (10, 6, 0.75)


def test_an_absent_family_is_none_and_never_zero() -> None:
    assert exposition.parse(b"vllm:num_requests_waiting 2\n", VLLM) == EngineMetrics(waiting=2)


@pytest.mark.parametrize(
    ("engine", "text", "expected"),
    [
        (
            "sglang",
            (
                b'sglang:num_queue_reqs{a="b"} 1\nsglang:num_running_reqs 2\nsglang:token_usage 0.5\n'
                b'sglang:cache_config_info{page_size="64",num_pages="100"} 1\n'
            ),
            EngineMetrics(waiting=1, running=2, kv_usage=0.5, block_size=64, block_count=100),
        ),
        (
            "triton-tensorrt-llm",
            (
                b'nv_trt_llm_request_metrics{model="m",request_type="waiting"} 1\n'
                b'nv_trt_llm_request_metrics{model="m",request_type="scheduled"} 2\n'
                b'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"} 0.5\n'
                b'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per"} 32\n'
                b'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"} 7\n'
            ),
            EngineMetrics(waiting=1, running=2, kv_usage=0.5, block_size=32, block_count=7),
        ),
    ],
)
def test_other_engines_tell_it_elsewhere(engine: str, text: bytes, expected: EngineMetrics) -> None:
    assert exposition.parse(text, BUILT_IN[engine]) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html><body>vllm:num_requests_waiting 5</body></html>",
        b"# HELP vllm:num_requests_waiting 5\n",
        b"vllm:num_requests_waiting NaN\nvllm:num_requests_running +Inf\nvllm:kv_cache_usage_perc nan\n",
        b'vllm:num_requests_waiting{a="b\n',
        b"vllm:num_requests_waiting{} \n",
        b"vllm:num_requests_waiting_by_reason 5\n",
        b"vllm:num_requests_waiting five\n",
        b"vllm:num_requests_waiting -3\n",
    ],
)
def test_what_is_no_exposition_is_malformed_and_never_a_number(text: bytes) -> None:
    with pytest.raises(MalformedError):
        exposition.parse(text, VLLM)


def test_odd_values_are_bounded() -> None:
    text = b"vllm:num_requests_waiting 1e300\nvllm:kv_cache_usage_perc 1.7\n"
    text += b'vllm:cache_config_info{block_size="None",num_gpu_blocks="99999999999999999999"} 1\n'
    assert exposition.parse(text, VLLM) == EngineMetrics(waiting=10**9, kv_usage=1.0)


def test_labels_may_hold_quotes_braces_commas_and_backslashes() -> None:
    text = rb'm{a="x\"y}",b="1,2",c="back\\"} 4 1234567890' + b"\n"
    assert list(samples(text, MetricSelector("m"))) == [({"a": 'x"y}', "b": "1,2", "c": "back\\"}, 4.0)]


def test_a_selector_takes_only_the_series_that_match() -> None:
    mapping = EngineMapping(waiting=MetricSelector("q", {"kind": "wait"}))
    assert exposition.parse(b'q{kind="run"} 7\nq{kind="wait"} 2\n', mapping).waiting == 2


WAITING = b"vllm:num_requests_waiting"
MEGABYTES = 4 * 1024 * 1024


def test_a_long_line_of_many_adapters_is_read() -> None:
    names = ",".join(f"adapter-{number:04}" for number in range(2000))
    line = f'vllm:lora_requests_info{{max_lora="4",running_lora_adapters="{names}"}} 1.0\n'.encode()
    assert len(exposition.parse(TEXT + line.replace(b" 1.0", b" 2e9"), VLLM).active_adapters) == 2000


@pytest.mark.parametrize(
    "text",
    [
        WAITING + b'{a="' + b'\\"' * (MEGABYTES // 2) + b'"} 1\n',
        WAITING + b'{a="' + b'"' * MEGABYTES,
        WAITING + b"{" + b'a="b",' * (MEGABYTES // 6) + b"} 1\n",
        (WAITING + b'{engine="0"} 1\n') * (MEGABYTES // 40),
    ],
    ids=["escapes", "quotes", "labels", "series"],
)
def test_megabytes_under_an_engines_own_names_are_refused_at_once(text: bytes) -> None:
    """Whoever reads a scrape reads it between two requests."""
    begun = time.process_time()
    with pytest.raises(MalformedError):
        exposition.parse(text, VLLM)
    assert time.process_time() - begun < 0.2


def test_the_tokens_of_all_steps_and_engines_add_up() -> None:
    text = (
        TEXT
        + b"""\
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 3.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 7.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 90.0
vllm:iteration_tokens_total_sum{engine="1",model_name="m"} 10.0
"""
    )
    assert exposition.parse(text, VLLM).computed_tokens == 100.0


def test_the_former_name_of_the_cache_usage_is_read() -> None:
    former = TEXT.replace(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc")
    both = TEXT + b"vllm:gpu_cache_usage_perc 0.9\n"

    assert exposition.parse(former, VLLM).kv_usage == 0.25
    assert exposition.parse(both, VLLM).kv_usage == 0.25


@pytest.mark.parametrize("value", [b"NaN", b"+Inf", b"many"])
def test_what_is_no_number_is_missing(value: bytes) -> None:
    found = exposition.parse(TEXT.replace(b"} 0.25", b"} " + value), VLLM)

    assert found.kv_usage is None
    assert gaps(found, VLLM) == (
        "no number under vllm:kv_cache_usage_perc: set kvUsageSpec in engineConfigs of core-metrics-extractor",
    )


def test_a_figure_that_an_engine_never_reports_is_no_gap() -> None:
    found = exposition.parse(b"nv_inference_pending_request_count 3\n", BUILT_IN["triton"])

    assert gaps(found, BUILT_IN["triton"]) == ()


def test_a_gap_is_reported_once_and_again_when_it_is_another() -> None:
    endpoint = Endpoint(EndpointId("10.0.0.1:8000"), "10.0.0.1", 8000, "e")
    target = ScrapeTarget(PoolId("default/pool"), endpoint)

    assert [target.lacks(each) for each in (("a",), ("a",), (), ("a",), ("a", "b"), ("b",))] == [
        True, False, False, True, True, False,
    ]  # fmt: skip
