"""Prometheus text of vLLM's metrics: names and labels are rendered once, histograms only when they moved.

The text is what `prometheus_client` would write for vLLM: same names, types, label order and number format. Pure: the
caller hands in the engines' state at each rendering.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.service.exposition import HistogramLines, header, labels
from model_sim.engine.engine import Snapshot
from model_sim.engine.metrics import EngineMetrics, Histogram
from model_sim.engine.request import FinishReason

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
"""Gauges whose values a fault may replace."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """One engine at the moment of rendering. `stamp` is the wall time of its last step."""

    snapshot: Snapshot
    metrics: EngineMetrics
    stamp: float


@dataclass(slots=True)
class _HistogramText:
    """The text of one histogram, kept until an observation changes it."""

    source: Histogram
    lines: HistogramLines
    before: str = ""
    after: str = ""
    seen: int = -1
    text: str = ""

    def render(self) -> str:
        if self.source.count != self.seen:
            self.seen = self.source.count
            self.text = self.before + self.lines.render(self.source.cumulative(), self.source.total) + self.after
        return self.text


Read = Callable[[EngineState], float]


@dataclass(frozen=True, slots=True)
class _Line:
    """One sample: everything before its value (with the header, if it is the first of its family), and the value."""

    prefix: str
    rank: int
    read: Read
    forced_by: str = ""
    """The override that replaces the value."""


@dataclass(slots=True)
class Exposition:
    """The metrics of one server. `metrics` are its engines' counters, in rank order."""

    model_name: str
    metrics: Sequence[EngineMetrics]
    created: float
    cache_config: Mapping[str, str]
    max_loras: int | None = None
    """None: LoRA is off and `vllm:lora_requests_info` is not shown."""
    _lines: list[_Line] = field(default_factory=list)
    _histograms: list[_HistogramText] = field(default_factory=list)
    _pending: str = ""
    _ending: str = ""

    def __post_init__(self) -> None:
        self._add_gauges()
        self._add_counters()
        for name, text, attribute in HISTOGRAMS:
            ranks = [self._histogram(name, rank, getattr(self.metrics[rank], attribute)) for rank in self._ranks]
            ranks[0].before, self._pending = self._pending + header(name, text, "histogram"), ""
            ranks[-1].after = self._created(name, text, [self._pairs(rank) for rank in self._ranks])
            self._histograms += ranks
        config = [labels({**self.cache_config, "engine": str(rank)}) for rank in self._ranks]
        self._ending = header("vllm:cache_config_info", "Settings of the KV cache.", "gauge") + "".join(
            f"vllm:cache_config_info{pairs} 1.0\n" for pairs in config
        )

    @property
    def _ranks(self) -> range:
        return range(len(self.metrics))

    def _pairs(self, rank: int, **more: str) -> str:
        return labels({"engine": str(rank), "model_name": self.model_name, **more})

    def render(self, states: Sequence[EngineState], overrides: Mapping[str, float | str] | None = None) -> str:
        """The whole text."""
        forced = overrides or {}
        parts = []
        for line in self._lines:
            value = line.read(states[line.rank]) if line.forced_by not in forced else float(forced[line.forced_by])
            parts.append(f"{line.prefix}{value!r}\n")
        if self.max_loras is not None:
            parts.append(self._lora(states, forced))
        parts += [histogram.render() for histogram in self._histograms]
        parts.append(self._ending)
        return "".join(parts)

    def _add_gauges(self) -> None:
        def running(state: EngineState) -> float:
            return float(state.snapshot.running)

        def waiting(state: EngineState) -> float:
            return float(state.snapshot.waiting)

        def usage(state: EngineState) -> float:
            return state.snapshot.kv_cache_usage

        gauges = (
            ("num_requests_running", "Requests in the batch.", running),
            ("num_requests_waiting", "Requests waiting to be processed.", waiting),
            ("kv_cache_usage_perc", "KV cache in use; 1 is all of it.", usage),
        )
        for name, text, read in gauges:
            samples: list[tuple[int, dict[str, str], Read]] = [(rank, {}, read) for rank in self._ranks]
            self._add(f"vllm:{name}", text, "gauge", samples, forced_by=name)
        by_reason = {
            "capacity": lambda state: float(state.snapshot.waiting - state.snapshot.deferred),
            "deferred": lambda state: float(state.snapshot.deferred),
        }
        name, text = "vllm:num_requests_waiting_by_reason", "Requests waiting, by reason."
        self._add(name, text, "gauge", self._labelled("reason", by_reason))
        by_state: dict[str, Read] = {
            "awake": lambda state: float(not state.snapshot.asleep),
            "weights_offloaded": lambda state: float(state.snapshot.asleep),
            "discard_all": lambda _: 0.0,
        }
        name, text = "vllm:engine_sleep_state", "1 for the state the engine is in."
        self._add(name, text, "gauge", self._labelled("sleep_state", by_state))

    def _add_counters(self) -> None:
        for name, text, read in COUNTERS:
            self._add(name, text, "counter", [(rank, {}, _of_metrics(read)) for rank in self._ranks])
        by_source: dict[str, Read] = {
            "local_compute": _of_metrics(lambda m: m.prompt_tokens_computed),
            "local_cache_hit": _of_metrics(lambda m: m.prompt_tokens_cached),
            "external_kv_transfer": _of_metrics(lambda m: m.prompt_tokens_transferred),
        }
        name, text = "vllm:prompt_tokens_by_source", "Prompt tokens, by where they came from."
        self._add(name, text, "counter", self._labelled("source", by_source))
        finished = {reason.value: _of_metrics(_finished(reason)) for reason in FinishReason}
        self._add("vllm:request_success", "Requests finished.", "counter", self._labelled("finished_reason", finished))

    def _labelled(self, label: str, reads: Mapping[str, Read]) -> list[tuple[int, dict[str, str], Read]]:
        return [(rank, {label: value}, read) for rank in self._ranks for value, read in reads.items()]

    def _add(
        self,
        name: str,
        text: str,
        kind: str,
        samples: Sequence[tuple[int, dict[str, str], Read]],
        *,
        forced_by: str = "",
    ) -> None:
        """One family. What follows a counter's samples, their creation times, is text before the next line."""
        shown = f"{name}_total" if kind == "counter" else name
        before, self._pending = self._pending + header(shown, text, kind), ""
        for rank, more, read in samples:
            self._lines.append(_Line(f"{before}{shown}{self._pairs(rank, **more)} ", rank, read, forced_by))
            before = ""
        if kind == "counter":
            self._pending = self._created(name, text, [self._pairs(rank, **more) for rank, more, _ in samples])

    def _histogram(self, name: str, rank: int, source: Histogram) -> _HistogramText:
        pairs = {"engine": str(rank), "model_name": self.model_name}
        return _HistogramText(source, HistogramLines(name, pairs, source.bounds))

    def _created(self, name: str, text: str, pairs: Sequence[str]) -> str:
        lines = "".join(f"{name}_created{each} {self.created!r}\n" for each in pairs)
        return header(f"{name}_created", text, "gauge") + lines

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


def _of_metrics(read: Callable[[EngineMetrics], int]) -> Read:
    return lambda state: float(read(state.metrics))


def _finished(reason: FinishReason) -> Callable[[EngineMetrics], int]:
    return lambda metrics: metrics.finished[reason]
