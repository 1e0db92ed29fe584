"""Each spelling of a released upstream loads, and means what it meant or tells what is missing."""

from pathlib import Path

import pytest

from epp.config import ConfigError, SchedulerConfig, parse_config
from epp.config.engines import MetricSelector
from epp.config.spellings import GIE
from epp.scheduling.filters import LabelSelectorFilter, PrefixCacheAffinityFilter, UtilizationFilter
from epp.scheduling.former import ByLabelFilter
from epp.scheduling.handlers import (
    AlwaysDisaggMultimodalDecider,
    AlwaysDisaggPdDecider,
    DisaggProfileHandler,
    HeaderProfileHandler,
    PrefixBasedPdDecider,
)
from epp.scheduling.saturation import UtilizationDetector
from epp.scheduling.scorers import KVCacheUtilizationScorer
from epp.scheduling.units import Seconds
from epp.testing import candidate, decide

FOLDER = Path(__file__).resolve().parents[3] / "data/configurations"
# What a document warns of, by the field; what is not listed warns of nothing.
WARNINGS = {
    "filters-of-mid-2025": ["plugins[1].type", "plugins[2].type", "plugins[3].type", "plugins[4].type",
                            "schedulingProfiles[0].plugins[0].pluginRef"],
    "latency-of-2025": ["plugins[0].type", "plugins[1].type", "plugins[2].type",
                        "schedulingProfiles[2].plugins[0].pluginRef", "schedulingProfiles[2].plugins[1].pluginRef"],
    "cache-events-by-mode": [f"plugins[0].parameters.{name}" for name in
                             ("indexerConfig", "kvEventsConfig", "mode", "tokenProcessorConfig")],
    "prefill-by-threshold": ["plugins[0].type", "plugins[5].parameters.hashBlockSize",
                             "plugins[5].parameters.prefixPluginName", "plugins[5].parameters.primaryPort"],
    "prefill-by-flat-decider": ["plugins[0].type", "plugins[6].parameters.prefixPluginType",
                                "plugins[6].parameters.primaryPort"],
    "tokenizer-in-a-profile": ["plugins[0].parameters.modelName", "plugins[0].parameters.udsTokenizerConfig",
                               "plugins[1].type", "plugins[2].type", "plugins[6].parameters.requestTimeout",
                               "plugins[7].parameters.lruSize", "plugins[7].parameters.prefixPluginName",
                               "plugins[7].parameters.prefixPluginType",
                               "schedulingProfiles[0].plugins[0].pluginRef",
                               "schedulingProfiles[0].plugins[1].pluginRef"],
    "discovery-by-file": ["dataLayer.discovery", "dataLayer.peerDiscovery", "plugins[0].type",
                          "plugins[4].parameters.latencyPredictionInfoProducerName", "plugins[6].type"],
    "without-a-version": ["apiVersion"],
}  # fmt: skip


def load(name: str) -> SchedulerConfig:
    return parse_config((FOLDER / f"{name}.yaml").read_text(), name)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_each_spelling_loads_and_tells_what_is_missing(name: str) -> None:
    fields = [warning.split(": ")[1] for warning in load(name).warnings]
    assert sorted(set(fields)) == sorted(WARNINGS.get(name, []))


def test_a_bound_of_the_queue_is_a_condition_today() -> None:
    config = load("filters-of-mid-2025")
    bound = config.plugins["low-queue-filter"]
    assert isinstance(bound, UtilizationFilter)
    assert [(each.metric, each.max_value) for each in bound.conditions] == [("waiting-queue", 40.0)]
    (scorer,) = config.profiles["default"].scorers
    assert scorer.name == "kv-cache-scorer"
    assert isinstance(scorer.scorer, KVCacheUtilizationScorer)


def test_inline_thresholds_are_the_detectors() -> None:
    detector = load("inline-saturation").detector
    assert detector == UtilizationDetector(9, 0.7, Seconds(0.4))


def test_metric_names_written_flat_are_the_default_engines() -> None:
    engine = load("inline-saturation").extractor.mappings()["vllm"]
    assert engine.waiting == MetricSelector("engine_waiting")
    assert engine.kv_usage == MetricSelector("engine_cache", {"kind": "fraction"})
    assert engine.running == MetricSelector("vllm:num_requests_running")


def test_a_metric_name_that_is_none_is_refused() -> None:
    text = f"apiVersion: {GIE}\nkind: EndpointPickerConfig\n"
    with pytest.raises(ConfigError, match="is not a metric selector"):
        parse_config(f"{text}plugins: [{{type: core-metrics-extractor, parameters: {{loraSpec: 'a b'}}}}]\n", "x")


def test_the_default_profile_serves_where_latency_was_predicted() -> None:
    assert load("latency-of-2025").handler == HeaderProfileHandler(default_profile="default")


def test_filters_by_label_keep_what_they_kept() -> None:
    plugins = load("cache-events-by-mode").plugins
    assert plugins["by-label-selector"] == LabelSelectorFilter(match_labels={"tier": "chat"})
    assert plugins["zoned"] == ByLabelFilter("zone", ("a", "b"), allows_no_label=True)
    text = (FOLDER / "cache-events-by-mode.yaml").read_text()
    wrong = candidate("wrong", labels={"tier": "chat", "zone": "c"})
    for labels in ({"zone": "b"}, {}):
        right = candidate("right", labels={"tier": "chat", **labels}, waiting=9)
        assert decide(text, [wrong, right], {"model": "m", "prompt": "hi"}).targets == ("right",)


def test_a_threshold_in_bytes_becomes_one_in_tokens() -> None:
    handler = load("prefill-by-threshold").handler
    assert isinstance(handler, DisaggProfileHandler)
    assert handler.prefill_decider == PrefixBasedPdDecider(non_cached_tokens=100)


def test_prefill_is_always_apart_without_threshold_and_decider() -> None:
    text = (FOLDER / "prefill-by-threshold.yaml").read_text().replace("threshold: 400", "threshold: 0")
    handler = parse_config(text, "x").handler
    assert isinstance(handler, DisaggProfileHandler)
    assert handler.prefill_decider == AlwaysDisaggPdDecider()


def test_deciders_named_flat_are_bound() -> None:
    handler = load("prefill-by-flat-decider").handler
    assert isinstance(handler, DisaggProfileHandler)
    names = (handler.profiles.decode, handler.profiles.prefill, handler.profiles.encode)
    assert names == ("generate", "prompt", "media")
    assert handler.prefill_decider == PrefixBasedPdDecider(non_cached_tokens=32)
    assert handler.encode_decider == AlwaysDisaggMultimodalDecider()


def test_a_decider_named_flat_must_be_one() -> None:
    text = (FOLDER / "prefill-by-flat-decider.yaml").read_text().replace(
        "deciderPluginName: prefix-based-pd-decider", "deciderPluginName: decode-filter"
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"'decode-filter' .* is no decider"):
        parse_config(text, "x")


def test_the_session_header_of_before_counts() -> None:
    assert load("tokenizer-in-a-profile").token_headers == ("x-session-mine",)


def test_the_data_layer_may_not_be_there_under_both_names() -> None:
    text = f"apiVersion: {GIE}\nkind: EndpointPickerConfig\ndata: {{}}\ndataLayer: {{}}\n"
    with pytest.raises(ConfigError, match="data is its earlier name"):
        parse_config(text, "x")


def test_a_penalty_in_tokens_becomes_one_in_milliseconds() -> None:
    found = load("discovery-by-file").plugins["prefix-cache-affinity-filter"]
    assert isinstance(found, PrefixCacheAffinityFilter)
    assert found.max_ttft_penalty_ms == pytest.approx(2000.0)
