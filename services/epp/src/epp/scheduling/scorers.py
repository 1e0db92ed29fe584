"""The scorers, with upstream's names, parameters and formulas. Pure.

Where one differs on purpose, docs/compatibility.md says so and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.scheduling.labels import in_range
from epp.scheduling.plugin import parameter
from epp.scheduling.view import ATTRIBUTES, SchedulingView

_WHY_NO_EVENTS = "ignored: cache events are not read; matches come from picks"
_WHY_PRODUCERS = "the producer's, where older configurations have it; the producer's own setting wins"


def lowest_is_best(values: Sequence[float]) -> list[float]:
    """(max − value) / (max − min); all equal scores 1."""
    low, high = min(values), max(values)
    if high == low:
        return [1.0] * len(values)
    span = high - low
    return [(high - value) / span for value in values]


@dataclass(frozen=True, slots=True)
class QueueScorer:
    """Prefers the shortest waiting queue, relative to the shortest and the longest."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 for the shortest queue, 0 for the longest."""
        return lowest_is_best(view.waiting)


@dataclass(frozen=True, slots=True)
class RunningRequestsSizeScorer:
    """Prefers the fewest running requests, relative to the fewest and the most."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 for the fewest, 0 for the most."""
        return lowest_is_best(view.running)


@dataclass(frozen=True, slots=True)
class KVCacheUtilizationScorer:
    """Prefers a free KV cache: 1 − usage."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        """The free share."""
        return [*map((1.0).__sub__, view.kv_usage)]


@dataclass(frozen=True, slots=True)
class PrefixCacheScorer:
    """Prefers the endpoint that holds the longest part of the prompt."""

    match_length_weight: float = parameter(
        0.0, "0 rates by matched share alone, 1 by matched length alone", minimum=0, maximum=1
    )
    match_length_scale_tokens: int = parameter(8192, "a match this long scores full by length", unit="tokens", above=0)
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", "which producer tells the matches", reference="prefix producer"
    )
    auto_tune: bool | None = parameter(None, _WHY_PRODUCERS)
    block_size: int | None = parameter(None, _WHY_PRODUCERS, unit="bytes", minimum=0)
    hash_block_size: int | None = parameter(None, _WHY_PRODUCERS, unit="bytes", minimum=0)
    block_size_tokens: int | None = parameter(None, _WHY_PRODUCERS, unit="tokens", minimum=1)
    max_prefix_blocks_to_match: int | None = parameter(None, _WHY_PRODUCERS, unit="blocks", minimum=1)
    max_prefix_tokens_to_match: int | None = parameter(None, _WHY_PRODUCERS, unit="tokens", minimum=0)
    lru_capacity_per_server: int | None = parameter(None, _WHY_PRODUCERS, unit="blocks", minimum=1)
    mode: str = parameter("", _WHY_NO_EVENTS, ignored=True)
    indexer_config: object = parameter(None, _WHY_NO_EVENTS, ignored=True)
    kv_events_config: object = parameter(None, _WHY_NO_EVENTS, ignored=True)
    token_processor_config: object = parameter(None, _WHY_NO_EVENTS, ignored=True)
    kv_cache_redis_addr: str = parameter("", _WHY_NO_EVENTS, ignored=True)

    def of_the_producer(self) -> dict[str, object]:
        """Those of the parameters that belong to the producer."""
        names = (
            "auto_tune", "block_size", "hash_block_size", "block_size_tokens", "max_prefix_blocks_to_match",
            "max_prefix_tokens_to_match", "lru_capacity_per_server",
        )  # fmt: skip
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def score(self, view: SchedulingView) -> Sequence[float]:
        """The matched share, blended with the squared matched length."""
        weight = self.match_length_weight
        if not weight:
            return view.match_ratio
        scale = self.match_length_scale_tokens
        return [
            weight * min(1.0, tokens / scale) ** 2 + (1 - weight) * ratio
            for tokens, ratio in zip(view.matched_tokens, view.match_ratio, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class LoraAffinityScorer:
    """Prefers an endpoint where the adapter is active (1), then room for it (0.8), then one that waits for it (0.6)."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        """By the state of the target model's adapter."""
        target = view.request.target_model
        if not view.has_adapters:
            return [0.0] * len(view)
        if _is_base_model(view, target):
            return [1.0] * len(view)  # needs no adapter: room for one is no merit
        return [
            _adapter_score(target, active, waiting, most)
            for active, waiting, most in zip(
                view.active_adapters, view.waiting_adapters, view.max_adapters, strict=True
            )
        ]


def _is_base_model(view: SchedulingView, target: str) -> bool:
    models = view.models[0] if len(view) else ()
    return any(model.id == target and model.item.get("parent") is None for model in models)


def _adapter_score(target: str, active: frozenset[str], waiting: frozenset[str], most: int) -> float:
    if target in active:
        return 1.0
    if len(active) + len(waiting) < most:
        return 0.8
    return 0.6 if target in waiting else 0.0


@dataclass(frozen=True, slots=True)
class LoadAwareScorer:
    """Halves with an empty queue, falls to 0 at a queue of `threshold`."""

    threshold: int = parameter(128, "a queue this long scores 0", unit="requests", above=0)

    def score(self, view: SchedulingView) -> Sequence[float]:
        """0.5 for an empty queue, less the longer it is."""
        threshold = self.threshold
        return [0.5 * (1 - min(waiting, threshold) / threshold) for waiting in view.waiting]


@dataclass(frozen=True, slots=True)
class ActiveRequestScorer:
    """Prefers the endpoint with the fewest requests in flight from this picker."""

    idle_threshold: int = parameter(0, "up to this many count as idle and score 1", unit="requests", minimum=0)
    max_busy_score: float = parameter(1.0, "the best score of an endpoint that is not idle", minimum=0, maximum=1)
    request_timeout: str = parameter("", "ignored: reservations end with their request", ignored=True)
    in_flight_load_producer_name: str = parameter(
        "inflight-load-producer", "which producer counts the requests", reference="load producer"
    )

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 when idle, else relative to the busiest."""
        counts = view.in_flight
        most = max(counts)
        return [
            1.0 if count <= self.idle_threshold else (most - count) / most * self.max_busy_score for count in counts
        ]


@dataclass(frozen=True, slots=True)
class TokenLoadScorer:
    """Prefers the endpoint with the fewest uncached prompt tokens in flight, this request's own included."""

    queue_threshold_tokens: int = parameter(4_194_304, "a load this large scores 0", unit="tokens", above=0)
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", "which producer tells the matches", reference="prefix producer"
    )
    in_flight_load_producer_name: str = parameter(
        "inflight-load-producer", "which producer counts the tokens", reference="load producer"
    )

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 − load / threshold."""
        own, threshold = view.request.prompt_tokens, self.queue_threshold_tokens
        return [
            1 - min(tokens + max(0, own - matched), threshold) / threshold
            for tokens, matched in zip(view.in_flight_tokens, view.matched_tokens, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class NoHitLRUScorer:
    """Spreads requests that no endpoint has cached: the one longest without such a request first."""

    lru_size: int = parameter(1024, "ignored: every present endpoint is remembered", unit="endpoints", ignored=True)
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", "which producer tells the matches", reference="prefix producer"
    )
    prefix_plugin_type: str = parameter("", "ignored: older name of the producer reference", ignored=True)
    prefix_plugin_name: str = parameter("", "ignored: older name of the producer reference", ignored=True)

    def score(self, view: SchedulingView) -> Sequence[float]:
        """0.5 for all where anybody has a match; else 1 − rank / (n − 1) among those present."""
        count = len(view)
        if any(view.matched_blocks):
            return [0.5] * count
        if count == 1:
            return [1.0]
        last = view.last_cold_pick
        scores = [0.0] * count
        for rank, position in enumerate(sorted(range(count), key=last.__getitem__)):
            scores[position] = 1 - rank / (count - 1)
        return scores


@dataclass(frozen=True, slots=True)
class ContextLengthAware:
    """Prefers (as a filter keeps) endpoints whose labelled context range holds the request."""

    label: str = parameter("llm-d.ai/context-length-range", "the label with the range, like 0-8192")
    enable_filtering: bool = parameter(False, "as a filter, drop endpoints whose range does not hold the request")

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those whose range holds the request, and those without the label."""
        if not self.enable_filtering:
            return [True] * len(view)
        tokens = _context(view)
        labels = [endpoint.labels.get(self.label) for endpoint in view.endpoints]
        return [label is None or _holds(in_range(label), tokens) for label in labels]

    def score(self, view: SchedulingView) -> Sequence[float]:
        """Narrow ranges that fit score highest."""
        tokens = _context(view)
        labels = [endpoint.labels.get(self.label) for endpoint in view.endpoints]
        return [0.5 if label is None else _fit(in_range(label), tokens) for label in labels]


def _context(view: SchedulingView) -> int:
    return view.request.prompt_tokens + (view.request.max_tokens or 0)


def _holds(span: tuple[int, int] | None, tokens: int) -> bool:
    return span is not None and span[0] <= tokens <= span[1]


def _fit(span: tuple[int, int] | None, tokens: int) -> float:
    if span is None:  # a label that nobody can read
        return 0.0
    low, high = span
    width = high - low
    if low <= tokens <= high:
        if not width:
            return 1.0
        return 0.3 + 0.7 * (0.7 / (1 + width / 10_000) + 0.3 * (high - tokens) / width)
    distance = low - tokens if tokens < low else tokens - high
    return 0.3 / (1 + distance / 1000)


@dataclass(frozen=True, slots=True)
class HeaderLabelAffinityScorer:
    """Prefers endpoints whose label equals a request header."""

    header_name: str = parameter("", "the header to compare")
    label_key: str = parameter("", "the label to compare with")
    stamp_response_header: bool = parameter(True, "ignored: no answer is stamped with the label", ignored=True)

    def problem(self) -> str | None:
        """Both must be said."""
        return None if self.header_name and self.label_key else "headerName and labelKey are needed"

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 where they are equal."""
        wanted = view.request.headers.get(self.header_name.lower())
        key = self.label_key
        return [1.0 if wanted is not None and e.labels.get(key) == wanted else 0.0 for e in view.endpoints]


@dataclass(frozen=True, slots=True)
class FixedRange:
    """Bounds of a normalisation."""

    min: float = parameter(0.0, "scores 0 (or 1 where lower is better)")
    max: float = parameter(1.0, "scores 1 (or 0 where lower is better)")

    def problem(self) -> str | None:
        """In this order."""
        return None if self.min < self.max else f"min must be below max, got {self.min:g} and {self.max:g}"


@dataclass(frozen=True, slots=True)
class AdaptiveRange:
    """From the lowest to the highest figure among the candidates; takes no settings."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """Over what a figure is normalised."""

    fixed_range: FixedRange | None = parameter(None, "over this")
    adaptive_range: AdaptiveRange | None = parameter(None, "over the candidates' own range; so it is without either")

    def problem(self) -> str | None:
        """One of both."""
        return None if self.fixed_range is None or self.adaptive_range is None else "fixedRange or adaptiveRange?"


@dataclass(frozen=True, slots=True)
class LinearAlgorithm:
    """How an attribute becomes a score."""

    type: str = parameter("", "which end is best", choices=("linear_lower_is_better", "linear_higher_is_better"))
    normalization: Normalization = parameter(Normalization(), "over what")
    fixed_range: FixedRange | None = parameter(None, "as normalization.fixedRange")

    @property
    def fixed(self) -> FixedRange | None:
        """The range, if it does not depend on the candidates."""
        return self.normalization.fixed_range or self.fixed_range


@dataclass(frozen=True, slots=True)
class EndpointAttributeScorer:
    """Scores a named figure of the endpoint, normalised over a fixed range or over the candidates."""

    attribute_key: str = parameter("", f"the figure: {', '.join(ATTRIBUTES)}; others are missing everywhere")
    attribute: str = parameter("", "as attributeKey")
    producer: str = parameter("", "ignored: every attribute here has one producer", ignored=True)
    algorithm: LinearAlgorithm = parameter(LinearAlgorithm(), "how the figure becomes a score")

    def problem(self) -> str | None:
        """What and how must be said."""
        if bool(self.attribute_key) == bool(self.attribute):
            return "set attributeKey"
        return None if self.algorithm.type else "algorithm.type is missing"

    def warning(self) -> str | None:
        """A figure that another picker's extractor would bring."""
        name = self.attribute_key or self.attribute
        return None if name in ATTRIBUTES else f"no endpoint has {name!r} here: all score 0"

    def score(self, view: SchedulingView) -> Sequence[float]:
        """Linear between worst and best; all equal scores 1, a missing figure 0."""
        values = view.attribute(self.attribute_key or self.attribute)
        known = [value for value in values if value is not None]
        if not known:
            return [0.0] * len(values)
        fixed = self.algorithm.fixed
        low, high = (fixed.min, fixed.max) if fixed else (min(known), max(known))
        if high == low:
            return [0.0 if value is None else 1.0 for value in values]
        lower = self.algorithm.type == "linear_lower_is_better"
        span = high - low
        return [
            0.0 if value is None else ((high - value) / span if lower else (value - low) / span) for value in values
        ]
