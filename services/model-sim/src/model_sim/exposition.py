"""Prometheus text of vLLM's metrics, fast: names and labels are rendered once, histograms only when they moved.

A hundred simulators scraped 20 times a second leave no room for building label strings each time. The text is what
`prometheus_client` would write for vLLM: same names, types, label order and number format. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from model_sim.engine.engine import Snapshot
from model_sim.engine.metrics import EngineMetrics, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")
SLEEP_STATES = ("awake", "weights_offloaded", "discard_all")

Counter = tuple[str, str, Callable[[EngineMetrics], int]]

COUNTERS: Sequence[Counter] = (
    ("vllm:prefix_cache_queries", "Prefix cache queries, in tokens.", lambda m: m.prefix_cache_queries),
    ("vllm:prefix_cache_hits", "Prefix cache hits, in tokens.", lambda m: m.prefix_cache_hits),
    (
        "vllm:external_prefix_cache_queries",
        "Queries to caches outside this engine, in tokens.",
        lambda m: m.external_prefix_cache_queries,
    ),
    (
        "vllm:external_prefix_cache_hits",
        "Hits in caches outside this engine, in tokens.",
        lambda m: m.external_prefix_cache_hits,
    ),
    ("vllm:mm_cache_queries", "Multi-modal cache queries, in items.", lambda _: 0),
    ("vllm:mm_cache_hits", "Multi-modal cache hits, in items.", lambda _: 0),
    ("vllm:num_preemptions", "Preemptions.", lambda m: m.preemptions),
    ("vllm:prompt_tokens", "Prompt tokens processed.", lambda m: m.prompt_tokens),
    ("vllm:prompt_tokens_cached", "Prompt tokens taken from a cache.", lambda m: m.prompt_tokens_cached),
    ("vllm:generation_tokens", "Tokens generated.", lambda m: m.generation_tokens),
)

HISTOGRAMS: Sequence[tuple[str, str, str]] = (
    ("vllm:time_to_first_token_seconds", "Time to first token.", "time_to_first_token"),
    ("vllm:inter_token_latency_seconds", "Time between tokens.", "inter_token_latency"),
    (
        "vllm:request_time_per_output_token_seconds",
        "Mean time per output token of a request.",
        "time_per_output_token",
    ),
    ("vllm:e2e_request_latency_seconds", "Time from arrival to the last token.", "end_to_end"),
    ("vllm:request_queue_time_seconds", "Time waiting.", "queue_time"),
    ("vllm:request_inference_time_seconds", "Time running.", "inference_time"),
    ("vllm:request_prefill_time_seconds", "Time in prefill.", "prefill_time"),
    ("vllm:request_decode_time_seconds", "Time in decode.", "decode_time"),
    ("vllm:iteration_tokens_total", "Tokens per engine step.", "iteration_tokens"),
    ("vllm:request_prompt_tokens", "Prompt tokens of a request.", "request_prompt_tokens"),
    ("vllm:request_generation_tokens", "Tokens generated for a request.", "request_generation_tokens"),
    (
        "vllm:request_max_num_generation_tokens",
        "Most tokens generated for any choice of a request.",
        "request_max_generation_tokens",
    ),
    ("vllm:request_params_max_tokens", "The request parameter max_tokens.", "request_params_max_tokens"),
    ("vllm:request_params_n", "The request parameter n.", "request_params_n"),
    (
        "vllm:request_prefill_kv_computed_tokens",
        "Prompt tokens computed, cached ones left out.",
        "request_prefill_computed_tokens",
    ),
    ("vllm:request_num_preemptions", "Preemptions of a request.", "request_preemptions"),
)

OVERRIDABLE = (
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "running_lora_adapters",
    "waiting_lora_adapters",
    "max_lora",
)
"""What a test may dictate instead of what the engine says."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """One engine at the moment of rendering. `stamp` is the wall time of its last step."""

    snapshot: Snapshot
    metrics: EngineMetrics
    stamp: float


@dataclass(slots=True)
class _HistogramText:
    """The lines of one histogram, kept until an observation changes them."""

    source: Histogram
    prefixes: tuple[str, ...]
    count_prefix: str
    sum_prefix: str
    seen: int = -1
    text: str = ""

    def render(self) -> str:
        if self.source.count != self.seen:
            self.seen = self.source.count
            lines = [
                f"{prefix}{count}.0" for prefix, count in zip(self.prefixes, self.source.cumulative(), strict=True)
            ]
            lines.append(f"{self.count_prefix}{self.source.count}.0")
            lines.append(f"{self.sum_prefix}{float(self.source.total)!r}")
            self.text = "\n".join(lines) + "\n"
        return self.text


def escape(value: str) -> str:
    """A label value as the text format wants it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def labels(pairs: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in sorted(pairs.items())) + "}"


def header(name: str, text: str, kind: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


@dataclass(slots=True)
class Exposition:
    """The metrics of one server. `metrics` are its engines' counters, in rank order."""

    model_name: str
    metrics: Sequence[EngineMetrics]
    created: float
    cache_config: Mapping[str, str]
    max_loras: int | None = None
    """None: LoRA is off and `vllm:lora_requests_info` is not shown."""
    _base: tuple[str, ...] = ()
    _histograms: list[tuple[str, list[_HistogramText], str]] = field(default_factory=list)
    _static: str = ""

    def __post_init__(self) -> None:
        ranks = range(len(self.metrics))
        self._base = tuple(labels({"engine": str(rank), "model_name": self.model_name}) for rank in ranks)
        for name, text, attribute in HISTOGRAMS:
            parts = [self._histogram(name, rank, getattr(self.metrics[rank], attribute)) for rank in ranks]
            self._histograms.append((header(name, text, "histogram"), parts, self._created(name, text, self._base)))
        config = [labels({**self.cache_config, "engine": str(rank)}) for rank in ranks]
        self._static = header("vllm:cache_config_info", "Settings of the KV cache.", "gauge") + "".join(
            f"vllm:cache_config_info{pairs} 1.0\n" for pairs in config
        )

    def _histogram(self, name: str, rank: int, source: Histogram) -> _HistogramText:
        bounds = [*(repr(float(bound)) for bound in source.bounds), "+Inf"]
        base = {"engine": str(rank), "model_name": self.model_name}
        return _HistogramText(
            source=source,
            prefixes=tuple(f"{name}_bucket{labels({**base, 'le': bound})} " for bound in bounds),
            count_prefix=f"{name}_count{self._base[rank]} ",
            sum_prefix=f"{name}_sum{self._base[rank]} ",
        )

    def _created(self, name: str, text: str, pairs: Sequence[str]) -> str:
        lines = "".join(f"{name}_created{each} {self.created!r}\n" for each in pairs)
        return header(f"{name}_created", text, "gauge") + lines

    def render(self, states: Sequence[EngineState], overrides: Mapping[str, float | str] | None = None) -> str:
        """The whole text."""
        parts = self._gauges(states, overrides or {})
        if self.max_loras is not None:
            parts.append(self._lora(states, overrides or {}))
        parts.append(self._static)
        parts += self._counters(states)
        for head, histograms, created in self._histograms:
            parts.append(head)
            parts += [histogram.render() for histogram in histograms]
            parts.append(created)
        return "".join(parts)

    def _gauges(self, states: Sequence[EngineState], overrides: Mapping[str, float | str]) -> list[str]:
        def gauge(name: str, text: str, read: Callable[[Snapshot], float]) -> str:
            forced = overrides.get(name)
            lines = [
                f"vllm:{name}{pairs} {float(read(state.snapshot) if forced is None else forced)!r}\n"
                for pairs, state in zip(self._base, states, strict=True)
            ]
            return header(f"vllm:{name}", text, "gauge") + "".join(lines)

        reasons = header("vllm:num_requests_waiting_by_reason", "Requests waiting, by reason.", "gauge")
        sleeping = header("vllm:engine_sleep_state", "1 for the state the engine is in.", "gauge")
        for rank, state in enumerate(states):
            base = {"engine": str(rank), "model_name": self.model_name}
            snapshot = state.snapshot
            waiting = {"capacity": snapshot.waiting - snapshot.deferred, "deferred": snapshot.deferred}
            for reason, count in waiting.items():
                reasons += f"vllm:num_requests_waiting_by_reason{labels({**base, 'reason': reason})} {float(count)!r}\n"
            for name in SLEEP_STATES:
                active = name == ("weights_offloaded" if snapshot.asleep else "awake")
                sleeping += f"vllm:engine_sleep_state{labels({**base, 'sleep_state': name})} {float(active)!r}\n"
        return [
            gauge("num_requests_running", "Requests in the batch.", lambda s: s.running),
            gauge("num_requests_waiting", "Requests waiting to be processed.", lambda s: s.waiting),
            reasons,
            gauge("kv_cache_usage_perc", "KV cache in use; 1 is all of it.", lambda s: s.kv_cache_usage),
            sleeping,
        ]

    def _lora(self, states: Sequence[EngineState], overrides: Mapping[str, float | str]) -> str:
        running = sorted({name for state in states for name in state.snapshot.running_adapters})
        waiting = sorted({name for state in states for name in state.snapshot.waiting_adapters})
        pairs = {
            "max_lora": str(overrides.get("max_lora", self.max_loras)),
            "running_lora_adapters": str(overrides.get("running_lora_adapters", ",".join(running))),
            "waiting_lora_adapters": str(overrides.get("waiting_lora_adapters", ",".join(waiting))),
        }
        stamp = max(state.stamp for state in states)
        name = "vllm:lora_requests_info"
        return header(name, "Adapters in use; the value is the time.", "gauge") + f"{name}{labels(pairs)} {stamp!r}\n"

    def _counters(self, states: Sequence[EngineState]) -> list[str]:
        parts = []
        for name, text, read in COUNTERS:
            values = [(pairs, read(state.metrics)) for pairs, state in zip(self._base, states, strict=True)]
            parts.append(self._counter(name, text, values))
        by_source: list[tuple[str, int]] = []
        finished: list[tuple[str, int]] = []
        for rank, state in enumerate(states):
            base = {"engine": str(rank), "model_name": self.model_name}
            metrics = state.metrics
            sources = {
                "local_compute": metrics.prompt_tokens_computed,
                "local_cache_hit": metrics.prompt_tokens_cached,
                "external_kv_transfer": metrics.prompt_tokens_transferred,
            }
            by_source += [(labels({**base, "source": source}), count) for source, count in sources.items()]
            finished += [(labels({**base, "finished_reason": r}), metrics.finished[r]) for r in FINISHED_REASONS]
        parts.append(
            self._counter("vllm:prompt_tokens_by_source", "Prompt tokens, by where they came from.", by_source)
        )
        parts.append(self._counter("vllm:request_success", "Requests finished.", finished))
        return parts

    def _counter(self, name: str, text: str, values: Sequence[tuple[str, int]]) -> str:
        lines = "".join(f"{name}_total{pairs} {count}.0\n" for pairs, count in values)
        created = self._created(name, text, [pairs for pairs, _ in values])
        return header(f"{name}_total", text, "counter") + lines + created
