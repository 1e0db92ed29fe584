"""In which metrics each engine reports the figures that the picker needs. Pure values for the exposition parser."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from epp.domain import NO_LABELS
from epp.scheduling.plugin import parameter
from epp.scheduling.units import Seconds

_SELECTOR = re.compile(r"^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s*$")
_LABEL = re.compile(r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,"'\s]+))\s*(?:,|$)""")

SHORTEST_INTERVAL = 0.05  # seconds; upstream's tick
ENGINE_LABEL = "inference.networking.k8s.io/engine-type"
ENGINE_LABEL_LLM_D = "llm-d.ai/engine-type"
_WHY_FLAT = "earlier spelling of the same in engineConfigs, for the default engine"


@dataclass(frozen=True, slots=True)
class MetricSelector:
    """A metric family, and the labels a series of it must have."""

    family: str
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


def selector(text: str) -> MetricSelector | None:
    """Read `family{label=value}` (quotes optional); None if it is not one."""
    found = _SELECTOR.match(text)
    if found is None:
        return None
    labels, at, inside = {}, 0, (found[2] or "").strip()
    while at < len(inside):
        label = _LABEL.match(inside, at)
        if label is None:
            return None
        labels[label[1]] = next(value for value in label.groups()[1:] if value is not None)
        at = label.end()
    return MetricSelector(found[1], MappingProxyType(labels))


@dataclass(frozen=True, slots=True)
class EngineMapping:
    """One engine's families. None: the engine does not report the figure."""

    waiting: MetricSelector | None = None
    running: MetricSelector | None = None
    kv_usage: MetricSelector | None = None
    former_kv_usage: MetricSelector | None = None  # what earlier releases called it
    lora: MetricSelector | None = None
    cache_info: MetricSelector | None = None  # a family whose labels carry block size and count
    block_size_label: str = "block_size"
    block_count_label: str = "num_gpu_blocks"
    block_size: MetricSelector | None = None  # families whose values carry them
    block_count: MetricSelector | None = None
    computed_tokens: MetricSelector | None = None  # a counter that moves with each step


def _triton(kind: str, value: str) -> MetricSelector:
    family = "nv_trt_llm_request_metrics" if kind == "request_type" else "nv_trt_llm_kv_cache_block_metrics"
    return MetricSelector(family, MappingProxyType({kind: value}))


_TRITON_TRT_LLM = EngineMapping(
    waiting=_triton("request_type", "waiting"),
    running=_triton("request_type", "scheduled"),
    kv_usage=_triton("kv_cache_block_type", "fraction"),
    block_size=_triton("kv_cache_block_type", "tokens_per"),
    block_count=_triton("kv_cache_block_type", "max"),
)

BUILT_IN: Mapping[str, EngineMapping] = MappingProxyType({
    "vllm": EngineMapping(
        waiting=MetricSelector("vllm:num_requests_waiting"),
        running=MetricSelector("vllm:num_requests_running"),
        kv_usage=MetricSelector("vllm:kv_cache_usage_perc"),
        former_kv_usage=MetricSelector("vllm:gpu_cache_usage_perc"),
        lora=MetricSelector("vllm:lora_requests_info"),
        cache_info=MetricSelector("vllm:cache_config_info"),
        computed_tokens=MetricSelector("vllm:iteration_tokens_total_sum"),
    ),
    "sglang": EngineMapping(
        waiting=MetricSelector("sglang:num_queue_reqs"),
        running=MetricSelector("sglang:num_running_reqs"),
        kv_usage=MetricSelector("sglang:token_usage"),
        cache_info=MetricSelector("sglang:cache_config_info"),
        block_size_label="page_size",
        block_count_label="num_pages",
    ),
    "trtllm-serve": EngineMapping(
        waiting=MetricSelector("trtllm_num_requests_waiting"),
        running=MetricSelector("trtllm_num_requests_running"),
        kv_usage=MetricSelector("trtllm_kv_cache_utilization"),
        block_size=MetricSelector("trtllm_kv_cache_tokens_per_block"),
        block_count=MetricSelector("trtllm_kv_cache_max_blocks"),
    ),
    "triton-tensorrt-llm": _TRITON_TRT_LLM,
    "triton": EngineMapping(waiting=MetricSelector("nv_inference_pending_request_count")),  # of models that are no LLMs
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """One engine's families as a configuration writes them; replaces the built-in one of that name whole."""

    name: str = parameter("", "what the engine label says")
    queued_requests_spec: str = parameter("", "waiting requests, as family{label=value}")
    running_requests_spec: str = parameter("", "running requests")
    kv_usage_spec: str = parameter("", "share of the KV cache in use, 0..1", key="kvUsageSpec")
    lora_spec: str = parameter("", "adapter info: its labels list them, the newest series counts")
    cache_info_spec: str = parameter("", "a family whose labels carry block size and count")
    cache_block_size_label_name: str = parameter("block_size", "label with tokens per block")
    cache_num_blocks_label_name: str = parameter("num_gpu_blocks", "label with the number of blocks")
    cache_block_size_spec: str = parameter("", "a family whose value is tokens per block")
    cache_num_blocks_spec: str = parameter("", "a family whose value is the number of blocks")
    custom_metrics: object = parameter(None, "ignored: no plugin here reads them", ignored=True)

    def problem(self) -> str | None:
        """A name, and selectors that can be read."""
        if not self.name or self.name == "default":
            return "an engine needs a name other than 'default'"
        for text in self._specs():
            if text and selector(text) is None:
                return f"{text!r} is not a metric selector like family{{label=value}}"
        return None

    def mapping(self) -> EngineMapping:
        """As the parser wants it; an empty spec is a figure that the engine does not report."""
        waiting, running, usage, lora, info, size, count = (selector(text) for text in self._specs())
        return EngineMapping(
            waiting=waiting,
            running=running,
            kv_usage=usage,
            lora=lora,
            cache_info=info,
            block_size_label=self.cache_block_size_label_name,
            block_count_label=self.cache_num_blocks_label_name,
            block_size=size,
            block_count=count,
            computed_tokens=BUILT_IN.get(self.name, EngineMapping()).computed_tokens,
        )

    def _specs(self) -> tuple[str, ...]:
        return (
            self.queued_requests_spec, self.running_requests_spec, self.kv_usage_spec, self.lora_spec,
            self.cache_info_spec, self.cache_block_size_spec, self.cache_num_blocks_spec,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CoreMetricsExtractor:
    """Finds an engine's load in its metrics."""

    engine_label_key: str = parameter(ENGINE_LABEL, "the endpoint label that names the engine")
    default_engine: str = parameter("vllm", "the engine of endpoints without that label")
    engine_configs: tuple[EngineConfig, ...] = parameter((), "further engines, or other families for a built-in one")
    custom_metrics: object = parameter(None, "ignored: no plugin here reads them", ignored=True)
    queued_requests_spec: str = parameter("", _WHY_FLAT)
    running_requests_spec: str = parameter("", _WHY_FLAT)
    kv_usage_spec: str = parameter("", _WHY_FLAT, key="kvUsageSpec")
    lora_spec: str = parameter("", _WHY_FLAT)
    cache_info_spec: str = parameter("", _WHY_FLAT)
    flagged: Mapping[str, MetricSelector | None] = field(default_factory=dict)  # by the command line, by figure

    def problem(self) -> str | None:
        """The default engine must exist, and every selector be one."""
        for text in self._specs().values():
            if text and selector(text) is None:
                return f"{text!r} is not a metric selector like family{{label=value}}"
        known = {*BUILT_IN, *(engine.name for engine in self.engine_configs)}
        if self.default_engine not in known:
            return f"unknown defaultEngine {self.default_engine!r}; known: {', '.join(sorted(known))}"
        return None

    def mappings(self) -> Mapping[str, EngineMapping]:
        """All engines by name."""
        engines = {**BUILT_IN, **{engine.name: engine.mapping() for engine in self.engine_configs}}
        found: dict[str, Any] = dict(self.flagged)
        found.update({figure: selector(text) for figure, text in self._specs().items() if text})
        if found:
            engines[self.default_engine] = replace(engines[self.default_engine], **found)
        return engines

    def _specs(self) -> Mapping[str, str]:
        """What is written flat, by the figure of an `EngineMapping`."""
        return {
            "waiting": self.queued_requests_spec, "running": self.running_requests_spec, "kv_usage": self.kv_usage_spec,
            "lora": self.lora_spec, "cache_info": self.cache_info_spec,
        }  # fmt: skip

    def engine_of(self, labels: Mapping[str, str]) -> str:
        """The engine of an endpoint; an unknown one counts as the default."""
        name = labels.get(self.engine_label_key) or labels.get(ENGINE_LABEL) or labels.get(ENGINE_LABEL_LLM_D) or ""
        return name if name in self.mappings() else self.default_engine


@dataclass(frozen=True, slots=True)
class MetricsDataSource:
    """Scrapes each endpoint's metrics."""

    scheme: str = parameter("http", "how the endpoint is asked", choices=("http", "https"))
    path: str = parameter("/metrics", "where the endpoint reports its load")
    insecure_skip_verify: bool = parameter(True, "with https, do not verify the endpoint's certificate")
    ca_cert_path: str = parameter("", "with https, the authorities to trust; without, the system's")
    client_cert_path: str = parameter("", "with https, the certificate to present")
    client_key_path: str = parameter("", "and its key, where it stands in a file of its own")
    port: int = parameter(0, "another port than the endpoint's own; 0 is the endpoint's", minimum=0, maximum=65_535)
    interval: Seconds | None = parameter(
        None, "a fixed interval; without one it adapts from 50 ms busy to 1 s idle", minimum=SHORTEST_INTERVAL
    )


@dataclass(frozen=True, slots=True)
class ModelsDataSource:
    """Asks each endpoint which models and adapters it serves."""

    scheme: str = parameter("http", "how the endpoint is asked, on its own port", choices=("http", "https"))
    path: str = parameter("/v1/models", "where the endpoint lists its models")
    insecure_skip_verify: bool = parameter(True, "with https, do not verify the endpoint's certificate")
    ca_cert_path: str = parameter("", "with https, the authorities to trust; without, the system's")
    client_cert_path: str = parameter("", "with https, the certificate to present")
    client_key_path: str = parameter("", "and its key, where it stands in a file of its own")
    interval: Seconds = parameter(
        Seconds(2.0), "how often, since adapters come and go", unit="seconds", minimum=SHORTEST_INTERVAL
    )


@dataclass(frozen=True, slots=True)
class ModelsDataExtractor:
    """Reads the list of models; takes no settings."""
