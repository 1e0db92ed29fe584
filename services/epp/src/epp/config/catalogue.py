"""Every plugin type in one literal table, and the types of upstream that are not here yet. Pure.

Types of a user's own are passed to `parse_config` by the composition root.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from epp.config import engines
from epp.config.spellings import GIE, LLM_D
from epp.flowcontrol import ceilings, ordering, policies
from epp.scheduling import (
    adapters,
    filters,
    former,
    gate,
    handlers,
    pickers,
    producers,
    reporters,
    saturation,
    scorers,
    sessions,
)
from epp.scheduling.roles import Roles

NO_DEFAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Named:
    """A parser that is known by name; takes any settings that upstream's would."""


@dataclass(frozen=True, slots=True)
class PluginType:
    """A type: its class, and what an apiVersion sets differently."""

    plugin: type[Any]
    part: str
    defaults: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: NO_DEFAULTS)
    reads_prefix: bool = False  # its answers depend on matches

    @property
    def roles(self) -> Roles:
        """The roles that its part names."""
        return frozenset(self.part.split(", "))


# Both upstreams have this type, with different defaults.
_GIE_PREFIX = {"max_prefix_blocks_to_match": 16_384, "max_prefix_tokens_to_match": 0, "minimum_block_tokens": 1}
_GIE_ONLY = MappingProxyType({GIE: MappingProxyType(_GIE_PREFIX)})

_GIE_AFFINITY = MappingProxyType({
    GIE: MappingProxyType({"exploration_probability": 0.01, "max_ttft_penalty_ms": 5000.0}),
})  # fmt: skip

PLUGINS: Mapping[str, PluginType] = MappingProxyType({
    "single-profile-handler": PluginType(handlers.SingleProfileHandler, "profile handler"),
    "header-profile-handler": PluginType(handlers.HeaderProfileHandler, "profile handler"),
    "disagg-profile-handler": PluginType(handlers.DisaggProfileHandler, "profile handler"),
    "pd-profile-handler": PluginType(former.PdProfileHandler, "profile handler"),
    "prefix-based-pd-decider": PluginType(handlers.PrefixBasedPdDecider, "decider", reads_prefix=True),
    "always-disagg-pd-decider": PluginType(handlers.AlwaysDisaggPdDecider, "decider"),
    "always-disagg-multimodal-decider": PluginType(handlers.AlwaysDisaggMultimodalDecider, "decider"),
    "label-selector-filter": PluginType(filters.LabelSelectorFilter, "filter"),
    "by-label": PluginType(former.ByLabelFilter, "filter"),
    "low-queue-filter": PluginType(former.LowQueueFilter, "filter"),
    "decode-filter": PluginType(filters.DecodeFilter, "filter"),
    "prefill-filter": PluginType(filters.PrefillFilter, "filter"),
    "encode-filter": PluginType(filters.EncodeFilter, "filter"),
    "utilization-filter": PluginType(filters.UtilizationFilter, "filter"),
    "prefix-cache-affinity-filter": PluginType(
        filters.PrefixCacheAffinityFilter, "filter", _GIE_AFFINITY, reads_prefix=True
    ),
    "affinity-gate": PluginType(gate.AffinityGate, "filter", reads_prefix=True),
    "session-affinity-filter": PluginType(sessions.SessionAffinityFilter, "filter"),
    "endpoint-attribute-filter": PluginType(filters.EndpointAttributeFilter, "filter"),
    "header-based-testing-filter": PluginType(filters.HeaderBasedTestingFilter, "filter"),
    "utilization-detector": PluginType(saturation.UtilizationDetector, "saturation detector, filter"),
    "concurrency-detector": PluginType(saturation.ConcurrencyDetector, "saturation detector, filter"),
    "probabilistic-admitter": PluginType(saturation.ProbabilisticAdmitter, "admitter"),
    "session-affinity-scorer": PluginType(sessions.SessionAffinityScorer, "scorer"),
    "queue-scorer": PluginType(scorers.QueueScorer, "scorer"),
    "expected-ttft-scorer": PluginType(gate.ExpectedTTFTScorer, "scorer", reads_prefix=True),
    "running-requests-size-scorer": PluginType(scorers.RunningRequestsSizeScorer, "scorer"),
    "kv-cache-utilization-scorer": PluginType(scorers.KVCacheUtilizationScorer, "scorer"),
    "prefix-cache-scorer": PluginType(scorers.PrefixCacheScorer, "scorer", reads_prefix=True),
    "lora-affinity-scorer": PluginType(scorers.LoraAffinityScorer, "scorer"),
    "lora-placement-scorer": PluginType(adapters.LoraPlacementScorer, "scorer"),
    "load-aware-scorer": PluginType(scorers.LoadAwareScorer, "scorer"),
    "active-request-scorer": PluginType(scorers.ActiveRequestScorer, "scorer"),
    "token-load-scorer": PluginType(scorers.TokenLoadScorer, "scorer", reads_prefix=True),
    "no-hit-lru-scorer": PluginType(scorers.NoHitLRUScorer, "scorer", reads_prefix=True),
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
    "global-strict-fairness-policy": PluginType(policies.GlobalStrictFairness, "fairness policy"),
    "round-robin-fairness-policy": PluginType(policies.RoundRobinFairness, "fairness policy"),
    "weighted-fairness-policy": PluginType(policies.WeightedFairness, "fairness policy"),
    "token-fairness-policy": PluginType(policies.TokenFairness, "fairness policy"),
    "fcfs-ordering-policy": PluginType(ordering.FirstComeOrdering, "ordering policy"),
    "edf-ordering-policy": PluginType(ordering.EarliestDeadlineOrdering, "ordering policy"),
    "slo-deadline-ordering-policy": PluginType(ordering.SloDeadlineOrdering, "ordering policy"),
    "static-usage-limit-policy": PluginType(ceilings.StaticUsageLimit, "usage limit policy"),
    "destination-endpoint-served-verifier": PluginType(
        reporters.DestinationEndpointServedVerifier, "answer reporter"
    ),
    "priority-holdback-policy": PluginType(ceilings.PriorityHoldback, "usage limit policy"),
})  # fmt: skip

# Names that load and select, without settings of their own here.
PARSERS = frozenset({
    "openai-parser", "anthropic-parser", "vllmhttp-parser", "sglanghttp-parser", "passthrough-parser",
})  # fmt: skip

# Types of upstream that are not here yet. They load; the text says what is then missing.
KNOWN_UPSTREAM: Mapping[str, str] = MappingProxyType({
    # Handlers
    "data-parallel-profile-handler": "ranks are not addressed through one port; list each rank as an endpoint",
    "slo-aware-profile-handler": "only the default profile runs: latency is not predicted",
    "disagg-headers-handler": "disagg-profile-handler writes the prefill header itself",
    "prefill-header-handler": "disagg-profile-handler writes the prefill header itself",
    # Filters and scorers
    "decision-tree-filter": "keeps everybody: filters are not nested; scorers rate queue, cache and adapters",
    "least-queue-filter": "keeps everybody; queue-scorer prefers the shortest queue",
    "least-kv-cache-filter": "keeps everybody; kv-cache-utilization-scorer prefers the emptiest cache",
    "lora-affinity-filter": "keeps everybody; lora-affinity-scorer prefers where the adapter is",
    "multicluster-session-affinity-filter": "keeps everybody: one cluster's endpoints are known",
    "slo-headroom-tier-filter": "keeps everybody: latency is not predicted",
    "topology-affinity-filter": "keeps everybody: node topology is not known",
    "topology-affinity-scorer": "topology is not scored",
    "predicted-latency-scorer": "latency is not predicted; it is not scored",
    "slo-aware-routing": "latency is not predicted; it is not scored",
    "latency-scorer": "predicted latency is not scored",
    "latency-observation-scorer-hub": "other clusters are not scored",
    "precise-prefix-cache-scorer": "cache events are not read; prefix-cache-scorer learns from picks",
    "mm-embeddings-cache-scorer": "cached media embeddings are not scored",
    "multicluster-queue-scorer": "other clusters are not scored",
    "multicluster-kv-cache-utilization-scorer": "other clusters are not scored",
    "multicluster-prefix-cache-scorer": "other clusters are not scored",
    # Producers and admission
    "precise-prefix-cache-producer": "cache events are not read; matches come from picks",
    "burst-prefix-cache-producer": "requests are not held back to be grouped; the affinity gate bounds bursts",
    "predicted-latency-producer": "latency is not predicted",
    "mm-embeddings-cache-producer": "cached media embeddings are not tracked",
    "latency-observer-producer-hub": "other clusters are not observed",
    "session-interturn-latency-producer": "the pauses between turns are not predicted",
    "kv-cache-hint-v2": "no hints to keep blocks are sent",
    "p2p-source-producer": "no peer is named to fetch cache blocks from",
    "multicluster-approx-prefix-cache-producer": "other clusters' caches are not tracked",
    "latency-slo-admitter": "nobody is refused for a latency objective",
    "disaggregatedset-rollout-screener": "rollout revisions are not told apart",
    "agent-identity": "the fairness id comes from its header only",
    # The answer
    "request-attribute-reporter": "no attribute of the answer is reported to the proxy",
    # Sources
    "dcgm-data-source": "GPU metrics are not read",
    "dcgm-extractor": "GPU metrics are not read",
    "topology-extractor": "node topology is not read",
    "k8s-notification-source": "no plugin is told of objects that change",
    "endpoint-notification-source": "no plugin is told of endpoints that come and go",
    "file-discovery": "endpoints come from the EndpointSlices and Pods of a pool",
    "multicluster-file-discovery": "endpoints come from the EndpointSlices and Pods of a pool",
    "multicluster-metrics-data-source": "other clusters are not scraped",
    "multicluster-metrics-extractor": "other clusters are not scraped",
    "local-syncer": "replicas share state through --redis-url",
    # Flow control
    "sheddable-eviction-filter": "with enableEviction, requests of negative priority may be ended, and no others",
    "priority-then-time-eviction-order-policy": "the least important end first, of one priority the newest",
    "eviction-priority-then-time-ordering": "the least important end first, of one priority the newest",
    "eviction-sheddable-filter": "with enableEviction, requests of negative priority may be ended, and no others",
    "program-aware-fairness": "counts as token-fairness-policy",
    "soft-reflective-ceiling-policy": "counts as static-usage-limit-policy; priority-holdback-policy holds back",
    # Parsers
    "vllmgrpc-parser": "gRPC bodies are not read; such requests are picked by load alone",
    "vertexai-parser": "gRPC bodies are not read; such requests are picked by load alone",
})  # fmt: skip
# Of those, the parsers and the profile handlers.
KNOWN_PARSERS = frozenset({"vllmgrpc-parser", "vertexai-parser"})
KNOWN_HANDLERS = frozenset({
    "data-parallel-profile-handler", "disagg-headers-handler", "slo-aware-profile-handler",
})  # fmt: skip

GATES: Mapping[str, str] = MappingProxyType({
    "flowControl": "",
    "dataLayer": "",
    "prepareDataPlugins": "",
    "enableLegacyMetrics": "",
    "haPopulateNonLeaderDatastore": "",
})  # fmt: skip
