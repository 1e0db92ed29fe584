"""Configurations that exist load: those of upstream's documentation and of the demo, and the defaults."""

import pytest

from epp.config import default_config, parse_config
from epp.config.spellings import GIE, LLM_D
from epp.flowcontrol.policies import TokenFairness
from epp.scheduling.saturation import UtilizationDetector
from tests.conftest import ROOT
from tests.unit.epp.seed import SEED

FILE_DISCOVERY = f"""\
apiVersion: {LLM_D}
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: file-discovery
  parameters: {{path: /etc/epp/endpoints.yaml, watchFile: true}}
- type: approx-prefix-cache-producer
  parameters: {{autoTune: false, blockSizeTokens: 64, maxPrefixTokensToMatch: 131072, lruCapacityPerServer: 31250}}
- type: prefix-cache-scorer
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: no-hit-lru-scorer
- type: max-score-picker
- type: single-profile-handler
- type: metrics-data-source
- type: core-metrics-extractor
- type: utilization-detector
- type: round-robin-fairness-policy
schedulingProfiles:
- name: default
  plugins:
  - {{pluginRef: prefix-cache-scorer, weight: 3}}
  - {{pluginRef: queue-scorer, weight: 2}}
  - {{pluginRef: kv-cache-utilization-scorer, weight: 2}}
  - {{pluginRef: no-hit-lru-scorer, weight: 2}}
  - {{pluginRef: max-score-picker}}
dataLayer:
  injectDefaults: false
  discovery: {{pluginRef: file-discovery}}
  sources:
  - pluginRef: metrics-data-source
    extractors: [{{pluginRef: core-metrics-extractor}}]
flowControl:
  defaultRequestTTL: 30s
  saturationDetector: {{pluginRef: utilization-detector}}
  priorityBands:
  - {{priority: 0, maxRequests: "500", fairnessPolicyRef: round-robin-fairness-policy}}
"""
EVERYTHING = f"""\
apiVersion: {GIE}
kind: EndpointPickerConfig
featureGates: [dataLayer, flowControl=false, enableLegacyMetrics=true]
plugins:
- {{name: queue, type: queue-scorer}}
- {{type: openai-parser}}
- {{type: fcfs-ordering-policy}}
- {{type: round-robin-fairness-policy}}
- {{type: static-usage-limit-policy, parameters: {{threshold: 0.9}}}}
- {{type: utilization-detector, parameters: {{queueDepthThreshold: 7, metricsStalenessThreshold: 500ms}}}}
schedulingProfiles: [{{name: default, plugins: [{{pluginRef: queue, weight: 2.0}}]}}]
saturationDetector: {{pluginRef: utilization-detector}}
dataLayer: {{sources: [{{pluginRef: metrics-data-source, extractors: [{{pluginRef: core-metrics-extractor}}]}}]}}
parser: {{pluginRef: openai-parser}}
flowControl:
  maxBytes: 1Gi
  maxRequests: "1k"
  defaultRequestTTL: 30s
  usageLimitPolicyPluginRef: static-usage-limit-policy
  defaultPriorityBand: {{priority: 0, maxBytes: 1G}}
  priorityBands:
  - priority: 10
    maxBytes: 500M
    maxRequests: "100"
    orderingPolicyRef: fcfs-ordering-policy
    fairnessPolicyRef: round-robin-fairness-policy
"""


@pytest.mark.parametrize("text", [SEED, FILE_DISCOVERY, EVERYTHING])
def test_published_examples_load(text: str) -> None:
    assert parse_config(text, "example").profiles


def test_the_demo_shows_the_default_policy_with_queues_before_it() -> None:
    demo, default = parse_config((ROOT / "config/demo/epp.yaml").read_text(), "epp.yaml"), default_config()

    assert demo.profiles == default.profiles
    assert demo.prefix == default.prefix
    assert demo.warnings == ()
    assert default.queues is None
    assert demo.queues is not None
    assert (demo.queues.ttl_seconds, demo.queues.no_endpoint_ttl_seconds) == (30.0, 2.0)
    assert demo.queues.default_band.fairness == TokenFairness()


def test_the_example_with_upstreams_weights_loads_without_warnings() -> None:
    config = parse_config((ROOT / "config/examples/queue-kv-prefix.yaml").read_text(), "epp.yaml")
    assert config.warnings == ()
    weights = {scorer.name: scorer.weight for scorer in config.profiles["default"].scorers}
    assert weights == {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3}


def test_the_default_has_the_affinity_gate_and_no_warnings() -> None:
    config = default_config()
    assert config.warnings == ()
    assert [name for name, _ in config.profiles["default"].filters] == ["affinity-gate"]


def test_values_arrive_as_written() -> None:
    config = parse_config(EVERYTHING, "example")
    assert isinstance(config.detector, UtilizationDetector)
    assert config.detector.queue_depth_threshold == 7
    assert config.detector.metrics_staleness_threshold == pytest.approx(0.5)
    assert config.gates == {"dataLayer", "enableLegacyMetrics"}
    flow = config.flow_control
    assert (flow.max_bytes, flow.max_requests, flow.default_request_ttl) == (2**30, 1000, 30.0)
    assert (flow.priority_bands[0].priority, flow.priority_bands[0].max_bytes) == (10, 500_000_000)
