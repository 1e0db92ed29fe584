"""Counters and histograms of a single-threaded process: a dictionary entry each, rendered when somebody asks.

The library's own take a lock and several calls for every increment; at six histograms and five counters a request that
was a tenth of what a pick costs. Pure but for the library's types of rendered families.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Count(Collector):
    """One counter. Label values come from bounded sets; that is the caller's affair."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}

    def add(self, labels: Labels = (), number: float = 1) -> None:
        """Count so many more."""
        values = self._values
        values[labels] = values.get(labels, 0.0) + number

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The present figures."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        yield family


class Distribution(Collector):
    """One histogram; `bounds` are the buckets' upper bounds, in order, without infinity."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._counts: dict[Labels, list[int]] = {} if labels else {(): self._empty()}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Take one value."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = self._empty()
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The present figures, cumulated."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        edges = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for labels, counts in self._counts.items():
            buckets = list(zip(edges, map(float, accumulate(counts)), strict=True))
            family.add_metric(labels, buckets, self._sums.get(labels, 0.0))
        yield family

    def _empty(self) -> list[int]:
        return [0] * (len(self._bounds) + 1)
