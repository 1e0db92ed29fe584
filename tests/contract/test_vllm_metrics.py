"""The simulator's exposition against a recorded list of vLLM's metric names, types, labels and buckets."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import Request
from model_sim.exposition.vllm import EngineState, Exposition
from model_sim.replica.settings import Settings
from model_sim.server.simulator import cache_config

RECORDED = yaml.safe_load(Path(__file__).with_name("vllm_metrics.yaml").read_text())
MODEL = 'odd "name"\\with\nescapes'


def exposition(engines: list[Engine], **more: Any) -> str:
    settings = Settings(model=MODEL, max_model_len=8192, engine=engines[0].config)
    writer = Exposition(MODEL, [engine.metrics for engine in engines], 1.5e9, cache_config(settings), max_loras=2)
    states = [EngineState(engine.snapshot(), engine.metrics, 1.7e9 + 0.25) for engine in engines]
    return writer.render(states, **more)


def fresh(count: int = 1) -> list[Engine]:
    return [
        Engine(EngineConfig(max_loras=2, max_cpu_loras=2), LatencyProfile(base=0.01), Random(0), max_model_len=8192)
        for _ in range(count)
    ]


@pytest.fixture
def families() -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(exposition(fresh()))}


@pytest.mark.parametrize("name", RECORDED["gauges"])
def test_a_gauge_has_vllms_labels(families, name):
    family = families[name]

    assert family.type == "gauge"
    assert all(sorted(sample.labels) == RECORDED["gauges"][name] for sample in family.samples)


@pytest.mark.parametrize("name", RECORDED["counters"])
def test_a_counter_has_vllms_labels_and_starts_at_zero(families, name):
    family = families[name.removesuffix("_total")]

    assert family.type == "counter"
    assert {sample.name for sample in family.samples} == {name}
    assert all(sorted(sample.labels) == RECORDED["counters"][name] for sample in family.samples)
    assert all(sample.value == 0 for sample in family.samples)


@pytest.mark.parametrize("name", RECORDED["histograms"])
def test_a_histogram_has_vllms_buckets(families, name):
    family = families[name]
    expected = [float(bound) for bound in RECORDED["buckets"][RECORDED["histograms"][name]]]

    assert family.type == "histogram"
    bounds = [float(sample.labels["le"]) for sample in family.samples if sample.name.endswith("_bucket")]
    assert bounds == [*expected, float("inf")]
    assert {tuple(sorted(sample.labels)) for sample in family.samples if sample.name.endswith("_sum")} == {
        ("engine", "model_name")
    }


def test_there_is_nothing_that_vllm_has_not(families):
    known = {*RECORDED["gauges"], *RECORDED["histograms"], "vllm:cache_config_info"}
    known |= {name.removesuffix("_total") for name in RECORDED["counters"]}
    created = {f"{name}_created" for name in known}

    assert set(families) - known - created == set()
    assert not set(families) & set(RECORDED["retired"])


@pytest.mark.parametrize("label", RECORDED["label_values"])
def test_every_value_of_a_label_is_there_from_the_start(families, label):
    values = {
        sample.labels[label] for family in families.values() for sample in family.samples if label in sample.labels
    }

    assert sorted(values) == RECORDED["label_values"][label]


def test_the_cache_configuration_has_every_field_as_a_label(families):
    [sample] = families["vllm:cache_config_info"].samples

    assert set(RECORDED["cache_config_labels"]) <= set(sample.labels)
    assert (sample.labels["block_size"], sample.labels["num_gpu_blocks"], sample.value) == ("16", "16384", 1.0)


def test_labels_survive_quotes_backslashes_and_newlines(families):
    [sample] = families["vllm:num_requests_running"].samples

    assert sample.labels["model_name"] == MODEL


def test_values_move_and_unchanged_histograms_are_not_lost():
    engines = fresh()
    engine = engines[0]
    writer = Exposition(MODEL, [engine.metrics], 1.5e9, {}, max_loras=2)

    def values() -> dict[tuple[str, str], float]:
        text = writer.render([EngineState(engine.snapshot(), engine.metrics, 1.7e9 + 0.25)])
        return {
            (
                sample.name,
                sample.labels.get("running_lora_adapters", sample.labels.get("finished_reason", "")),
            ): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if "le" not in sample.labels
        }

    before = values()
    engine.submit(Request("a", 20, 4, adapter="zeta"), 0.0)
    engine.submit(Request("b", 20, 4, adapter="alpha"), 0.0)
    engine.step(0.015)
    during = values()
    engine.step(10.0)
    after = values()

    assert before[("vllm:num_requests_running", "")] == 0
    assert during[("vllm:num_requests_running", "")] == 2
    assert during[("vllm:generation_tokens_total", "")] == 2
    assert during[("vllm:lora_requests_info", "alpha,zeta")] == 1.7e9 + 0.25
    assert after[("vllm:generation_tokens_total", "")] == 8
    assert after[("vllm:request_success_total", "length")] == 2
    assert after[("vllm:e2e_request_latency_seconds_count", "")] == 2
    assert after[("vllm:e2e_request_latency_seconds_sum", "")] == pytest.approx(0.08)


def test_each_data_parallel_rank_has_its_own_series():
    families = {family.name: family for family in text_string_to_metric_families(exposition(fresh(3)))}

    assert [sample.labels["engine"] for sample in families["vllm:num_requests_running"].samples] == ["0", "1", "2"]
    counts = [s for s in families["vllm:e2e_request_latency_seconds"].samples if s.name.endswith("_count")]
    assert [sample.labels["engine"] for sample in counts] == ["0", "1", "2"]


def test_a_test_may_dictate_the_gauges():
    text = exposition(fresh(), overrides={"num_requests_waiting": 50.0, "running_lora_adapters": "x,y"})
    families = {family.name: family for family in text_string_to_metric_families(text)}

    assert families["vllm:num_requests_waiting"].samples[0].value == 50
    assert families["vllm:lora_requests_info"].samples[0].labels["running_lora_adapters"] == "x,y"


def test_without_lora_there_is_no_lora_gauge():
    engine = fresh()[0]
    writer = Exposition("m", [engine.metrics], 1.5e9, {}, max_loras=None)

    assert "lora" not in writer.render([EngineState(engine.snapshot(), engine.metrics, 1.0)])
