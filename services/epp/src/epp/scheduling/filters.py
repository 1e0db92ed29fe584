"""The filters, with upstream's names, parameters and rules. Pure."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from epp.scheduling.labels import ROLE_LABEL, MatchExpression
from epp.scheduling.plugin import parameter
from epp.scheduling.view import ATTRIBUTES, SchedulingView

TESTING_HEADER = "test-epp-endpoint-selection"

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType({
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "Equal": operator.eq,
    "NotEqual": operator.ne,
})  # fmt: skip

_DECODE_ROLES = frozenset({"decode", "prefill-decode", "both", "encode-prefill-decode"})
_PREFILL_ROLES = frozenset({"prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"})
_ENCODE_ROLES = frozenset({"encode", "encode-prefill", "encode-prefill-decode"})


def or_all(keep: list[bool], *, is_wanted: bool = True) -> list[bool]:
    """All, where nobody would be left."""
    return [True] * len(keep) if is_wanted and not any(keep) else keep


@dataclass(frozen=True, slots=True)
class LabelSelectorFilter:
    """Keeps endpoints whose labels match a Kubernetes label selector."""

    match_labels: Mapping[str, str] = parameter({}, "labels that must be equal")
    match_expressions: tuple[MatchExpression, ...] = parameter((), "requirements that must hold")

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those that fulfil every requirement."""
        return [self._matches(endpoint.labels) for endpoint in view.endpoints]

    def _matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            expression.holds(labels) for expression in self.match_expressions
        )


@dataclass(frozen=True, slots=True)
class DecodeFilter:
    """Keeps endpoints whose role label includes decoding, and those without a role."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """By `llm-d.ai/role`."""
        return [endpoint.labels.get(ROLE_LABEL, "decode") in _DECODE_ROLES for endpoint in view.endpoints]


@dataclass(frozen=True, slots=True)
class PrefillFilter:
    """Keeps endpoints whose role label includes prefilling."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """By `llm-d.ai/role`."""
        return [endpoint.labels.get(ROLE_LABEL) in _PREFILL_ROLES for endpoint in view.endpoints]


@dataclass(frozen=True, slots=True)
class EncodeFilter:
    """Keeps endpoints whose role label includes encoding."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """By `llm-d.ai/role`."""
        return [endpoint.labels.get(ROLE_LABEL) in _ENCODE_ROLES for endpoint in view.endpoints]


@dataclass(frozen=True, slots=True)
class UtilizationCondition:
    """One bound."""

    metric: str = parameter(
        "", "the figure", choices=("active-requests", "running-requests", "waiting-queue", "kv-cache-utilization")
    )
    max_value: float | None = parameter(None, "the most it may be", minimum=0)

    def problem(self) -> str | None:
        """Both must be said; a cache is never fuller than 1."""
        if not self.metric or self.max_value is None:
            return "a condition needs metric and maxValue"
        if self.metric == "kv-cache-utilization" and self.max_value > 1:
            return f"kv-cache-utilization is a share: maxValue must be at most 1, got {self.max_value:g}"
        return None

    def holds(self, value: float) -> bool:
        """Whether a figure is within the bound."""
        return self.max_value is not None and value <= self.max_value


@dataclass(frozen=True, slots=True)
class UtilizationFilter:
    """Keeps endpoints within all bounds."""

    conditions: tuple[UtilizationCondition, ...] = parameter((), "bounds that must hold, all of them")
    fallback_on_empty: bool = parameter(False, "keep all where none is within")
    in_flight_load_producer_name: str = parameter(
        "inflight-load-producer", "which producer counts active requests", reference="load producer"
    )

    def problem(self) -> str | None:
        """Without a condition it has nothing to do."""
        return None if self.conditions else "at least one condition is needed"

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those within every bound."""
        keep = [True] * len(view)
        for condition in self.conditions:
            values = view.column(ATTRIBUTES[condition.metric])
            keep = [kept and condition.holds(value) for kept, value in zip(keep, values, strict=True)]
        return or_all(keep, is_wanted=self.fallback_on_empty)


@dataclass(frozen=True, slots=True)
class PrefixCacheAffinityFilter:
    """Keeps endpoints that hold nearly all of the prompt, while their load costs less than the cache saves."""

    affinity_threshold: float = parameter(0.80, "matched share that counts as held", maximum=1)
    exploration_probability: float = parameter(0.0, "share of requests that ignore the cache", minimum=0, maximum=1)
    max_ttft_penalty_ms: float = parameter(
        18_000.0,
        "longest extra wait for a cached prefix; 0 is any",
        unit="milliseconds",
        minimum=0,
        key="maxTTFTPenaltyMs",
    )
    ttft_source: Literal["prefillThroughput", "latencyPredictor"] = parameter(
        "prefillThroughput", "latencyPredictor counts as prefillThroughput here",
        choices=("prefillThroughput", "latencyPredictor"),
    )  # fmt: skip
    peak_prefill_throughput: float = parameter(
        15_928.0, "turns tokens in flight into time", unit="tokens per second", above=0
    )
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", "which producer tells the matches", reference="prefix producer"
    )
    in_flight_load_producer_name: str = parameter(
        "inflight-load-producer", "which producer counts the tokens", reference="load producer"
    )
    latency_prediction_info_producer_name: str = parameter("", "ignored: nothing is predicted", ignored=True)
    max_tokens_in_flight_penalty: int = parameter(
        0, "earlier spelling of maxTTFTPenaltyMs, in tokens at peakPrefillThroughput", unit="tokens", minimum=0
    )

    def modern(self) -> "PrefixCacheAffinityFilter":
        """The penalty in today's unit."""
        if not self.max_tokens_in_flight_penalty:
            return self
        return replace(
            self, max_ttft_penalty_ms=self.max_tokens_in_flight_penalty / self.peak_prefill_throughput * 1000
        )

    def warning(self) -> str | None:
        """Nothing is predicted here."""
        predicts = self.ttft_source == "latencyPredictor"
        return "ttftSource latencyPredictor counts as prefillThroughput: nothing is predicted" if predicts else None

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Sticky endpoints; all where there are none, by chance, or where the best of them waits too long."""
        everyone = [True] * len(view)
        if len(view) < 2 or self.affinity_threshold <= 0:
            return everyone
        sticky = [ratio >= self.affinity_threshold for ratio in view.match_ratio]
        if not any(sticky) or all(sticky):
            return everyone
        if self.exploration_probability and view.random.random() < self.exploration_probability:
            return everyone
        if not self.max_ttft_penalty_ms:
            return sticky
        waits = [tokens / self.peak_prefill_throughput * 1000 for tokens in view.in_flight_tokens]
        best_sticky = min(wait for wait, is_sticky in zip(waits, sticky, strict=True) if is_sticky)
        best_other = min(wait for wait, is_sticky in zip(waits, sticky, strict=True) if not is_sticky)
        return everyone if best_sticky - best_other > self.max_ttft_penalty_ms else sticky


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison with a fixed value."""

    operator: str = parameter("", "how to compare", choices=tuple(_OPERATORS))
    value: float | None = parameter(None, "what to compare with")

    def problem(self) -> str | None:
        """Both must be said."""
        return None if self.operator and self.value is not None else "a threshold needs operator and value"

    def holds(self, value: float) -> bool:
        """Whether a figure passes."""
        return self.value is not None and _OPERATORS[self.operator](value, self.value)


@dataclass(frozen=True, slots=True)
class ThresholdAlgorithm:
    """How the figure is judged."""

    type: str = parameter("threshold", "the only one here", choices=("threshold",))
    threshold: Threshold | None = parameter(None, "the comparison that must hold")


@dataclass(frozen=True, slots=True)
class EndpointAttributeFilter:
    """Keeps endpoints whose named figure passes a comparison."""

    attribute: str = parameter("", f"the figure: {', '.join(ATTRIBUTES)}; others are missing everywhere")
    producer: str = parameter("", "ignored: every attribute here has one producer", ignored=True)
    on_missing: Literal["Pass", "Fail"] = parameter("Pass", "endpoints without the figure", choices=("Pass", "Fail"))
    fallback_on_empty: bool = parameter(False, "keep all where none passes")
    algorithm: ThresholdAlgorithm = parameter(ThresholdAlgorithm(), "the comparison")

    def problem(self) -> str | None:
        """What and with what must be said."""
        if not self.attribute:
            return "attribute is missing"
        return "algorithm.threshold is missing" if self.algorithm.threshold is None else None

    def warning(self) -> str | None:
        """A figure that another picker's extractor would bring."""
        return None if self.attribute in ATTRIBUTES else f"no endpoint has {self.attribute!r} here: onMissing decides"

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those that pass."""
        without, threshold = self.on_missing == "Pass", self.algorithm.threshold
        keep = [
            without if value is None else threshold is None or threshold.holds(value)
            for value in view.attribute(self.attribute)
        ]
        return or_all(keep, is_wanted=self.fallback_on_empty)


@dataclass(frozen=True, slots=True)
class HeaderBasedTestingFilter:
    """Keeps the endpoints a test lists in `test-epp-endpoint-selection`, each as ip or ip:port."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """All without the header."""
        header = view.request.headers.get(TESTING_HEADER, "").strip()
        if not header:
            return [True] * len(view)
        wanted = {item.strip() for item in header.split(",")}
        return [
            endpoint.id in wanted or endpoint.address in wanted or f"[{endpoint.address}]" in wanted
            for endpoint in view.endpoints
        ]
