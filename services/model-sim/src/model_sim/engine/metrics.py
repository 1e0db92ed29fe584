"""The engine's counters: plain integers and histograms, without labels or a text format.

Only the engine changes them, step by step; `exposition` renders them under vLLM's names.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from model_sim.engine.request import Completion, FinishReason, Request

TTFT_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
ITL_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
LATENCY_BUCKETS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
    120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
ITERATION_BUCKETS = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
N_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0)
PREEMPTION_BUCKETS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)


def one_two_five(limit: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50 … up to `limit`, as vLLM builds its token count buckets."""
    buckets: list[float] = []
    power = 1
    while True:
        for mantissa in (1, 2, 5):
            if mantissa * power > limit:
                return tuple(buckets)
            buckets.append(float(mantissa * power))
        power *= 10


class Histogram:
    """Counts per bucket (not cumulative), and their sum."""

    __slots__ = ("bounds", "count", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.count = 0
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.count += times
        self.total += value * times

    def observe_each(self, values: Sequence[float], times: int) -> None:
        """Each value, as often as `times`: `observe` in a loop, without its calls."""
        bounds, counts, total = self.bounds, self.counts, self.total
        for value in values:
            counts[bisect_left(bounds, value)] += times
            total += value * times
        self.total = total
        self.count += times * len(values)

    def cumulative(self) -> list[int]:
        """Counts up to and including each bound, +Inf last."""
        return list(accumulate(self.counts))


class EngineMetrics:
    """Counters and histograms of one engine."""

    def __init__(self, max_model_len: int) -> None:
        tokens = one_two_five(max_model_len)
        self.prompt_tokens = 0
        self.prompt_tokens_computed = 0
        self.prompt_tokens_cached = 0
        self.prompt_tokens_transferred = 0
        self.generation_tokens = 0
        self.prefix_cache_queries = 0
        self.prefix_cache_hits = 0
        self.external_prefix_cache_queries = 0
        self.external_prefix_cache_hits = 0
        self.preemptions = 0
        self.finished: dict[str, int] = {reason.value: 0 for reason in FinishReason}
        self.time_to_first_token = Histogram(TTFT_BUCKETS)
        self.inter_token_latency = Histogram(ITL_BUCKETS)
        self.time_per_output_token = Histogram(ITL_BUCKETS)
        self.end_to_end = Histogram(LATENCY_BUCKETS)
        self.queue_time = Histogram(LATENCY_BUCKETS)
        self.inference_time = Histogram(LATENCY_BUCKETS)
        self.prefill_time = Histogram(LATENCY_BUCKETS)
        self.decode_time = Histogram(LATENCY_BUCKETS)
        self.iteration_tokens = Histogram(ITERATION_BUCKETS)
        self.request_prompt_tokens = Histogram(tokens)
        self.request_generation_tokens = Histogram(tokens)
        self.request_max_generation_tokens = Histogram(tokens)
        self.request_params_max_tokens = Histogram(tokens)
        self.request_prefill_computed_tokens = Histogram(tokens)
        self.request_params_n = Histogram(N_BUCKETS)
        self.request_preemptions = Histogram(PREEMPTION_BUCKETS)

    def decoded(self, gaps: Sequence[float], sequences: int) -> None:
        """Count steps that gave each of `sequences` a token, so long after the token before it."""
        self.generation_tokens += sequences * len(gaps)
        self.inter_token_latency.observe_each(gaps, sequences)

    def finish(self, request: Request, done: Completion) -> None:
        """Per-request metrics, all at its end, as vLLM does."""
        self.finished[done.finish_reason] += 1
        self.end_to_end.observe(done.finished - done.arrival)
        self.request_prompt_tokens.observe(done.prompt_tokens)
        self.request_generation_tokens.observe(done.output_tokens)
        self.request_max_generation_tokens.observe(done.output_tokens)
        self.request_params_n.observe(request.n)
        if request.max_tokens is not None:
            self.request_params_max_tokens.observe(request.max_tokens)
        self.request_preemptions.observe(done.preemptions)
        self.request_prefill_computed_tokens.observe(max(0, done.prompt_tokens - done.cached_tokens))
        scheduled = done.scheduled if done.scheduled >= 0 else done.finished
        first = done.first_token if done.first_token >= 0 else done.finished
        self.queue_time.observe(max(0.0, scheduled - done.arrival))
        self.prefill_time.observe(max(0.0, first - scheduled))
        self.decode_time.observe(done.finished - first)
        self.inference_time.observe(max(0.0, done.finished - scheduled))
        tokens = done.output_tokens - 1
        self.time_per_output_token.observe((done.finished - first) / tokens if tokens > 0 else 0.0)

    def first_token(self, request: Request, seconds: float, cached: int) -> None:
        """Count a prompt, once its first token is out, by the origin of its tokens."""
        prompt = request.prompt_tokens
        fetched = max(0, prompt - 1 - cached) if request.remote_prefill else 0
        self.time_to_first_token.observe(seconds)
        self.prompt_tokens += prompt
        self.prompt_tokens_cached += cached
        self.prompt_tokens_transferred += fetched
        self.prompt_tokens_computed += prompt - cached - fetched
