"""What is measured of a run. Pure.

TTFT counts from the client's request to the first token. A request that was refused, or unfinished when the run was
given up, has an infinite TTFT: it moves the percentiles and is no goodput. Goodput is requests per second that kept
both limits. The prefix hit ratio is cached over all prompt tokens, as the engines counted them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil, inf
from statistics import fmean, stdev


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client expects, in seconds: of the first token, and of the mean gap between tokens."""

    ttft: float = 1.0
    itl: float = 0.05


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Record:
    """One request's life as its client saw it. `endpoint` is None where it was refused."""

    arrival: float
    endpoint: int | None
    ttft: float
    itl: float
    prompt_tokens: int
    cached_tokens: int

    def is_good(self, limits: Limits = LIMITS) -> bool:
        """Whether it kept both limits."""
        return self.ttft <= limits.ttft and self.itl <= limits.itl


@dataclass(frozen=True, slots=True)
class Measures:
    """One run's figures. Times are seconds, goodput and offered are requests per second."""

    ttft_p50: float
    ttft_p90: float
    ttft_p99: float
    hit_ratio: float
    goodput: float
    offered: float
    itl_p90: float
    imbalance: float
    """Requests of the busiest endpoint over the mean."""

    @property
    def good_share(self) -> float:
        """Of the requests, those that kept both limits."""
        return self.goodput / self.offered if self.offered else 1.0


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several seeds: mean and standard deviation."""

    mean: float
    deviation: float


def measure(records: Sequence[Record], begin: float, end: float, endpoints: int, limits: Limits = LIMITS) -> Measures:
    """The figures of the requests that arrived within the window."""
    inside = [record for record in records if begin <= record.arrival < end]
    ttft = sorted(record.ttft for record in inside)
    counts = Counter(record.endpoint for record in inside if record.endpoint is not None)
    prompt = sum(record.prompt_tokens for record in inside)
    return Measures(
        ttft_p50=percentile(ttft, 0.5),
        ttft_p90=percentile(ttft, 0.9),
        ttft_p99=percentile(ttft, 0.99),
        hit_ratio=sum(record.cached_tokens for record in inside) / max(1, prompt),
        goodput=sum(record.is_good(limits) for record in inside) / (end - begin),
        offered=len(inside) / (end - begin),
        itl_p90=percentile(sorted(record.itl for record in inside), 0.9),
        imbalance=max(counts.values(), default=0) * endpoints / max(1, counts.total()),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values; infinity of none."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else inf


def over_seeds(runs: Sequence[Measures]) -> dict[str, Spread]:
    """Mean and deviation of every figure."""
    return {field.name: spread([getattr(run, field.name) for run in runs]) for field in fields(Measures)}


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation; infinite where any value is."""
    if inf in values:
        return Spread(inf, inf)
    return Spread(fmean(values), stdev(values) if len(values) > 1 else 0.0)
