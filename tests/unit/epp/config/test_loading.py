"""Each known type and setting loads, with upstream's defaults; what does less than it says is a warning."""

import pytest

from epp.config import parse_config
from epp.config.catalogue import KNOWN_UPSTREAM, PARSERS, PLUGINS
from epp.config.engines import MetricSelector, selector
from epp.config.spellings import GIE, LLM_D
from epp.scheduling.filters import PrefixCacheAffinityFilter
from epp.scheduling.handlers import DisaggProfileHandler, HeaderProfileHandler, SingleProfileHandler
from epp.scheduling.pickers import MaxScorePicker, RandomPicker
from epp.scheduling.saturation import ConcurrencyDetector, UtilizationDetector

HEAD = f"apiVersion: {LLM_D}\nkind: EndpointPickerConfig\n"


# What has no default, upstream neither.
REQUIRED = {
    "by-label": "{label: zone, validValues: [a]}",
    "utilization-filter": "{conditions: [{metric: waiting-queue, maxValue: 5}]}",
    "header-label-affinity-scorer": "{headerName: x-zone, labelKey: zone}",
    "endpoint-attribute-filter":
        "{attribute: waiting-queue, algorithm: {type: threshold, threshold: {operator: LessThan, value: 5}}}",
    "endpoint-attribute-scorer": "{attributeKey: waiting-queue, algorithm: {type: linear_lower_is_better}}",
}  # fmt: skip


@pytest.mark.parametrize("type_", sorted(PLUGINS))
@pytest.mark.parametrize("version", [GIE, LLM_D])
def test_every_type_loads_with_its_defaults(type_: str, version: str) -> None:
    parameters = REQUIRED.get(type_, "{}")
    profiles = "schedulingProfiles: [{name: decode}]\n" if "profile-handler" in type_ else ""
    text = (
        f"apiVersion: {version}\nkind: EndpointPickerConfig\nplugins: [{{type: {type_}, parameters: {parameters}}}]\n"
    )
    assert type_ in parse_config(text + profiles, "example").plugins


@pytest.mark.parametrize("type_", sorted(KNOWN_UPSTREAM))
def test_a_type_known_upstream_loads_with_a_warning_that_names_the_effect(type_: str) -> None:
    text = f"{HEAD}plugins: [{{type: {type_}, parameters: {{whatever: [1, 2]}}}}]\n"
    assert parse_config(text, "example").warnings == (
        f"example:3: plugins[0].type: '{type_}' is not here yet: {KNOWN_UPSTREAM[type_]}",
    )


@pytest.mark.parametrize("type_", sorted(PARSERS))
def test_names_of_parsers_load_without_warnings(type_: str) -> None:
    assert parse_config(f"{HEAD}plugins: [{{type: {type_}}}]\n", "example").warnings == ()


def test_settings_of_ways_that_are_not_here_load_with_a_warning() -> None:
    vllm = "vllm: {url: 'http://render:8000', timeout: 5s, retries: 3}"
    config = parse_config(HEAD + f"plugins: [{{type: token-producer, parameters: {{{vllm}}}}}]\n", "x")
    assert len(config.warnings) == 1
    assert "plugins[0].parameters.vllm: has no effect" in config.warnings[0]


PREFILL_APART = f"""\
apiVersion: {LLM_D}
kind: EndpointPickerConfig
plugins:
- {{type: approx-prefix-cache-producer, parameters: {{maxPrefixTokensToMatch: 4096, lruCapacityPerServer: 31250}}}}
- {{type: prefix-cache-scorer}}
- {{type: prefill-filter}}
- {{type: decode-filter}}
- {{type: disagg-profile-handler, parameters: {{deciders: {{prefill: prefix-based-pd-decider}}}}}}
- {{type: prefix-based-pd-decider, parameters: {{nonCachedTokens: 16}}}}
schedulingProfiles:
- {{name: prefill, plugins: [{{pluginRef: prefill-filter}}, {{pluginRef: prefix-cache-scorer, weight: 2}}]}}
- {{name: decode, plugins: [{{pluginRef: decode-filter}}, {{pluginRef: prefix-cache-scorer, weight: 2}}]}}
"""


def test_a_plugin_may_be_named_before_it_is_listed() -> None:
    config = parse_config(PREFILL_APART, "example")
    assert config.warnings == ()
    assert isinstance(config.handler, DisaggProfileHandler)
    assert config.handler.prefill_decider == config.plugins["prefix-based-pd-decider"]


@pytest.mark.parametrize(
    ("type_", "parameters", "words"),
    [
        ("utilization-detector", "{headroom: 2.0}", "headroom 2 keeps endpoints at 3 times their limit"),
        ("concurrency-detector", "{headroom: 1.0}", None),
        (
            "endpoint-attribute-filter",
            "{attribute: GPUUtilization, algorithm: {threshold: {operator: LessThan, value: 0.9}}}",
            "no endpoint has 'GPUUtilization' here: onMissing decides",
        ),
        (
            "endpoint-attribute-scorer",
            "{attributeKey: custom.queue, algorithm: {type: linear_lower_is_better}}",
            "no endpoint has 'custom.queue' here: all score 0",
        ),
        (
            "session-affinity-filter",
            "{encodedEndpointHeaderConfig: {header: x-mine}}",
            None,
        ),
        ("disagg-profile-handler", "{deciders: {encode: always-disagg-multimodal-decider}}", None),
        (
            "core-metrics-extractor",
            "{engineConfigs: [{name: mine, customMetrics: [{attributeKey: custom.queue, metricSpec: my_queue}]}]}",
            "engineConfigs[0].customMetrics: has no effect",
        ),
        ("prefix-cache-affinity-filter", "{ttftSource: latencyPredictor}", "nothing is predicted"),
        ("token-producer", "{estimate: {}}", None),
        ("token-producer", "{estimate: {image: {mode: static}}}", "the settings of estimate have no effect"),
        ("models-data-source", "{scheme: https, insecureSkipVerify: false}", None),
        ("header-label-affinity-scorer", "{headerName: a, labelKey: b, stampResponseHeader: true}", "has no effect"),
    ],
)
def test_what_loads_and_does_less_than_it_says_is_a_warning(type_: str, parameters: str, words: str | None) -> None:
    profiles = "schedulingProfiles: [{name: decode}]\n" if "profile-handler" in type_ else ""
    text = f"{HEAD}plugins: [{{type: {type_}, parameters: {parameters}}}]\n{profiles}"
    warnings = parse_config(text, "example").warnings
    assert len(warnings) == (words is not None)
    assert all(words in warning and warning.startswith("example:3: plugins[0]") for warning in warnings if words)


def test_scraping_cannot_be_switched_off() -> None:
    without = "dataLayer: {injectDefaults: false}\n"
    assert len(parse_config(HEAD + without, "example").warnings) == 1
    listed = without + "plugins: [{type: metrics-data-source}]\n"
    assert parse_config(HEAD + listed, "example").warnings == ()


@pytest.mark.parametrize(("written", "meant"), [("1e3", 1000), ("1E3", 1000), ("2.5k", 2500), ("1E", 10**18)])
def test_quantities_are_kubernetes_own(written: str, meant: int) -> None:
    assert parse_config(f"{HEAD}flowControl: {{maxBytes: {written}}}\n", "x").flow_control.max_bytes == meant


def test_without_profiles_everything_listed_is_one_profile_with_weight_one() -> None:
    config = parse_config(HEAD + "plugins: [{type: random-picker}, {type: decode-filter}, {type: queue-scorer}]\n", "x")
    profile = config.profiles["default"]
    assert [name for name, _ in profile.filters] == ["decode-filter"]
    assert [(scorer.name, scorer.weight) for scorer in profile.scorers] == [("queue-scorer", 1.0)]
    assert isinstance(profile.picker, RandomPicker)
    assert isinstance(config.handler, SingleProfileHandler)


def test_an_empty_configuration_is_upstreams_default() -> None:
    profile = parse_config(f"apiVersion: {GIE}\nkind: EndpointPickerConfig\n", "x").profiles["default"]
    assert {scorer.name: scorer.weight for scorer in profile.scorers} == {
        "queue-scorer": 2.0, "kv-cache-utilization-scorer": 2.0, "prefix-cache-scorer": 3.0,
    }  # fmt: skip
    assert isinstance(profile.picker, MaxScorePicker)


def test_the_api_version_chooses_between_different_defaults() -> None:
    listed = "{type: approx-prefix-cache-producer}, {type: prefix-cache-affinity-filter}"
    plugins = f"kind: EndpointPickerConfig\nplugins: [{listed}]\n"
    gie = parse_config(f"apiVersion: {GIE}\n{plugins}", "x")
    llm_d = parse_config(f"apiVersion: {LLM_D}\n{plugins}", "x")
    assert (gie.prefix.block_tokens(16), gie.prefix.max_blocks(16)) == (16, 16_384)
    assert (llm_d.prefix.block_tokens(16), llm_d.prefix.max_blocks(64)) == (64, 16_384)
    affinity = [config.plugins["prefix-cache-affinity-filter"] for config in (gie, llm_d)]
    assert all(isinstance(each, PrefixCacheAffinityFilter) for each in affinity)
    assert [each.max_ttft_penalty_ms for each in affinity if isinstance(each, PrefixCacheAffinityFilter)] == [
        5000,
        18000,
    ]


def test_lines_of_an_operator_leave_the_prompt() -> None:
    config = parse_config(
        HEAD + 'plugins: [{type: approx-prefix-cache-producer, parameters: {volatileLines: ["Current time:"]}}]\n', "x"
    )
    assert config.prefix.volatile_lines == ("Current time:",)


def test_prefix_parameters_on_the_scorer_are_honoured() -> None:
    # Where upstream's documentation puts them, and upstream itself ignores them.
    parameters = "{hashBlockSize: 128, maxPrefixBlocksToMatch: 100, lruCapacityPerServer: 500, autoTune: false}"
    text = f"apiVersion: {GIE}\nkind: EndpointPickerConfig\n"
    text += f"plugins: [{{type: prefix-cache-scorer, parameters: {parameters}}}]\n"
    prefix = parse_config(text, "x").prefix
    assert (prefix.block_tokens(16), prefix.max_blocks(32), prefix.lru_capacity_per_server) == (32, 100, 500)


def test_handlers_for_several_profiles() -> None:
    profiles = "schedulingProfiles: [{name: decode}, {name: prefill}]\n"
    config = parse_config(
        HEAD
        + "plugins:\n- {type: prefix-based-pd-decider, name: d, parameters: {nonCachedTokens: 64}}\n"
        + "- {type: disagg-profile-handler, parameters: {deciders: {prefill: d}}}\n"
        + profiles,
        "x",
    )
    assert isinstance(config.handler, DisaggProfileHandler)
    assert config.handler.prefill_decider == config.plugins["d"]
    assert config.uses_prefix
    header = parse_config(HEAD + "plugins: [{type: header-profile-handler}]\n" + profiles, "x")
    assert isinstance(header.handler, HeaderProfileHandler)
    upstream_only = parse_config(HEAD + "plugins: [{type: data-parallel-profile-handler}]\n" + profiles, "x")
    assert isinstance(upstream_only.handler, HeaderProfileHandler)


def test_a_detector_may_be_named_in_two_places() -> None:
    detector = "saturationDetector: {pluginRef: concurrency-detector}"
    text = HEAD + f"plugins: [{{type: concurrency-detector}}]\nflowControl: {{{detector}}}\n"
    assert isinstance(parse_config(text, "x").detector, ConcurrencyDetector)
    assert isinstance(parse_config(HEAD, "x").detector, UtilizationDetector)


def test_the_passthrough_parser_alone_leaves_bodies_unread() -> None:
    one = HEAD + "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}\n"
    two = HEAD + "requestHandler: {parsers: [{pluginRef: openai-parser}, {pluginRef: passthrough-parser}]}\n"
    assert parse_config(one, "x").is_opaque
    assert not parse_config(two, "x").is_opaque


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vllm:num_requests_waiting", MetricSelector("vllm:num_requests_waiting")),
        ('nv{kind="waiting"}', MetricSelector("nv", {"kind": "waiting"})),
        ("nv{kind=waiting, model='m'}", MetricSelector("nv", {"kind": "waiting", "model": "m"})),
        ("nv{}", MetricSelector("nv")),
        ("nv{kind}", None),
        ("not a metric", None),
        ("sum(nv)", None),
    ],
)
def test_selectors_are_promql_instant_selectors_with_optional_quotes(
    text: str, expected: MetricSelector | None
) -> None:
    found = selector(text)
    assert found == expected
    if found is not None and expected is not None:
        assert dict(found.labels) == dict(expected.labels)


def test_a_configured_engine_replaces_the_built_in_one_whole() -> None:
    text = HEAD + (
        "plugins:\n- type: core-metrics-extractor\n  parameters:\n    defaultEngine: mine\n    engineConfigs:\n"
        "    - {name: mine, queuedRequestsSpec: my_queue, kvUsageSpec: 'my_kv{kind=used}'}\n"
        "    - {name: vllm, runningRequestsSpec: other}\n"
    )
    extractor = parse_config(text, "x").extractor
    mappings = extractor.mappings()
    assert mappings["mine"].waiting == MetricSelector("my_queue")
    assert mappings["vllm"].waiting is None
    assert extractor.engine_of({}) == "mine"
    assert extractor.engine_of({"llm-d.ai/engine-type": "sglang"}) == "sglang"
    assert extractor.engine_of({"llm-d.ai/engine-type": "unheard-of"}) == "mine"


def test_the_built_in_engines_are_upstreams() -> None:
    explained = {
        name: [found.family if found else None for found in (engine.waiting, engine.running, engine.kv_usage)]
        for name, engine in parse_config(HEAD, "x").extractor.mappings().items()
    }
    assert explained == {
        "vllm": ["vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"],
        "sglang": ["sglang:num_queue_reqs", "sglang:num_running_reqs", "sglang:token_usage"],
        "trtllm-serve": ["trtllm_num_requests_waiting", "trtllm_num_requests_running", "trtllm_kv_cache_utilization"],
        "triton-tensorrt-llm":
            ["nv_trt_llm_request_metrics", "nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"],
        # Upstream takes nv_inference_exec_count for its running requests, which only ever grows.
        "triton": ["nv_inference_pending_request_count", None, None],
    }  # fmt: skip


def test_a_plugin_of_ones_own_is_found_by_its_type() -> None:
    from dataclasses import dataclass

    from epp.scheduling.plugin import parameter
    from epp.scheduling.view import SchedulingView

    @dataclass(frozen=True, slots=True)
    class ZoneScorer:
        """Prefers a zone."""

        zone: str = parameter("", "the zone")

        def score(self, view: SchedulingView) -> list[float]:
            return [float(endpoint.labels.get("zone") == self.zone) for endpoint in view.endpoints]

    text = HEAD + "plugins: [{type: zone-scorer, parameters: {zone: b}}]\n"
    config = parse_config(text, "x", {"zone-scorer": ZoneScorer})
    assert config.plugins["zone-scorer"] == ZoneScorer("b")
