"""Every plugin type there is, in one literal table; and those upstream has that are not here yet. Pure.

A plugin of a user's own joins by the table that the composition root passes to `parse_config`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from epp.config import engines
from epp.scheduling import handlers, pickers, producers, scorers

GIE = "inference.networking.x-k8s.io/v1alpha1"
LLM_D = "llm-d.ai/v1alpha1"
API_VERSIONS = (GIE, LLM_D)

NO_DEFAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Named:
    """A parser or policy that is known by name; takes any settings that upstream's would."""


@dataclass(frozen=True, slots=True)
class PluginType:
    """A type: its class, and what an apiVersion sets differently."""

    plugin: type[Any]
    part: str
    defaults: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: NO_DEFAULTS)
    aliases: tuple[str, ...] = ()


# Both upstreams call the type the same, but give it other defaults.
_GIE_PREFIX = {"max_prefix_blocks_to_match": 256, "max_prefix_tokens_to_match": 0, "minimum_block_tokens": 1}
_GIE_ONLY = MappingProxyType({GIE: MappingProxyType(_GIE_PREFIX)})

PLUGINS: Mapping[str, PluginType] = MappingProxyType({
    "single-profile-handler": PluginType(handlers.SingleProfileHandler, "profile handler"),
    "queue-scorer": PluginType(scorers.QueueScorer, "scorer"),
    "running-requests-size-scorer": PluginType(scorers.RunningRequestsSizeScorer, "scorer"),
    "kv-cache-utilization-scorer": PluginType(scorers.KVCacheUtilizationScorer, "scorer"),
    "prefix-cache-scorer": PluginType(scorers.PrefixCacheScorer, "scorer"),
    "lora-affinity-scorer": PluginType(scorers.LoraAffinityScorer, "scorer"),
    "load-aware-scorer": PluginType(scorers.LoadAwareScorer, "scorer"),
    "active-request-scorer": PluginType(scorers.ActiveRequestScorer, "scorer"),
    "token-load-scorer": PluginType(scorers.TokenLoadScorer, "scorer"),
    "no-hit-lru-scorer": PluginType(scorers.NoHitLRUScorer, "scorer"),
    "context-length-aware": PluginType(scorers.ContextLengthAware, "filter, scorer"),
    "header-label-affinity-scorer": PluginType(scorers.HeaderLabelAffinityScorer, "scorer"),
    "endpoint-attribute-scorer": PluginType(scorers.EndpointAttributeScorer, "scorer"),
    "max-score-picker": PluginType(pickers.MaxScorePicker, "picker"),
    "random-picker": PluginType(pickers.RandomPicker, "picker"),
    "weighted-random-picker": PluginType(pickers.WeightedRandomPicker, "picker"),
    "approx-prefix-cache-producer": PluginType(producers.ApproxPrefixCacheProducer, "producer", _GIE_ONLY),
    "inflight-load-producer": PluginType(producers.InflightLoadProducer, "producer"),
    "token-producer": PluginType(producers.TokenProducer, "producer"),
    "session-id-producer": PluginType(producers.SessionIdProducer, "producer"),
    "metrics-data-source": PluginType(engines.MetricsDataSource, "source"),
    "core-metrics-extractor": PluginType(
        engines.CoreMetricsExtractor, "extractor",
        MappingProxyType({LLM_D: MappingProxyType({"engine_label_key": engines.ENGINE_LABEL_LLM_D})}),
    ),
    "models-data-source": PluginType(engines.ModelsDataSource, "source"),
    "models-data-extractor": PluginType(engines.ModelsDataExtractor, "extractor"),
})  # fmt: skip

# Names that load and select, without settings of their own here.
PARSERS = frozenset({
    "openai-parser", "anthropic-parser", "vllmhttp-parser", "sglanghttp-parser", "passthrough-parser",
})  # fmt: skip
POLICIES: Mapping[str, str] = MappingProxyType({
    "fcfs-ordering-policy": "ordering policy",
    "edf-ordering-policy": "ordering policy",
    "slo-deadline-ordering-policy": "ordering policy",
    "global-strict-fairness-policy": "fairness policy",
    "round-robin-fairness-policy": "fairness policy",
    "static-usage-limit-policy": "usage limit policy",
})  # fmt: skip

# Known upstream, not here yet: they load, and this is what is then missing.
KNOWN_UPSTREAM: Mapping[str, str] = MappingProxyType({
    "latency-scorer": "predicted latency is not scored",
    "precise-prefix-cache-scorer": "cache events are not read; prefix-cache-scorer learns from picks",
    "request-attribute-reporter": "no attribute of the answer is reported to the proxy",
})  # fmt: skip

GATES: Mapping[str, str] = MappingProxyType({
    "flowControl": "requests do not wait here: sheddable ones are refused while the pool is saturated",
    "dataLayer": "",
    "enableLegacyMetrics": "",
    "haPopulateNonLeaderDatastore": "",
})  # fmt: skip
