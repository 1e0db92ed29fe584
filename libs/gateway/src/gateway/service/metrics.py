"""Counters, gauges and histograms of a single-threaded process, and the registry that writes them as Prometheus text.

A figure is an entry of a dictionary: counting takes one look-up, no lock and no call per label. What never changes of a
line is rendered once. Pure: it reads no clock and does no I/O. Label values come from bounded sets, which is the
caller's affair; their combinations are bounded here, and what is beyond shares a series.
"""

from bisect import bisect_left
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, Protocol

from gateway.service.exposition import HistogramLines, header, labels, number

Labels = tuple[str, ...]
# Words of labels that left, by the labels' names.
Gone = Mapping[str, Container[str]]
# Combinations of one family's label values. A line takes some 150 bytes, a histogram has twenty or more for each.
COUNTERS_LIMIT: Final = 2000
HISTOGRAMS_LIMIT: Final = 1000
OTHER: Final = "other"


class Metric(Protocol):
    """One family of samples."""

    def render(self) -> str:
        """Its lines as of now."""


class Registry:
    """The metrics of one process, in the order in which they were added."""

    def __init__(self) -> None:
        self._metrics: list[Metric] = []
        self._families: list[Counter | Gauge | Histogram] = []

    def add(self, metric: Metric) -> None:
        """Show one more family."""
        self._metrics.append(metric)

    def render(self) -> str:
        """All lines as of now."""
        return "".join([metric.render() for metric in self._metrics])

    def forget(self, gone: Gone) -> None:
        """Drop the series of labels that left."""
        for family in self._families:
            family.forget(gone)

    def _keep(self, family: "Counter | Gauge | Histogram") -> None:
        self._families.append(family)
        self.add(family)

    def counter(self, name: str, text: str, names: Sequence[str] = ()) -> "Counter":
        """Add a counter with labels of these names."""
        counter = Counter(name, text, names)
        self._keep(counter)
        return counter

    def gauge(self, name: str, text: str, names: Sequence[str] = ()) -> "Gauge":
        """Add a gauge with labels of these names."""
        gauge = Gauge(name, text, names)
        self._keep(gauge)
        return gauge

    def histogram(
        self, name: str, text: str, names: Sequence[str], bounds: Sequence[float], most: int = HISTOGRAMS_LIMIT
    ) -> "Histogram":
        """Add a histogram; `bounds` are the buckets' upper bounds, in order, without infinity. It has `most` series."""
        histogram = Histogram(name, text, names, bounds, most)
        self._keep(histogram)
        return histogram


class Counter:
    """Only grows. Without labels it is shown from the start."""

    def __init__(self, name: str, text: str, names: Sequence[str] = ()) -> None:
        self._lines = _Lines(name, text, "counter", names)
        self._values: dict[Labels, float] = {} if names else {(): 0.0}

    def add(self, values: Labels = (), amount: float = 1) -> None:
        """Count so many more."""
        counts = self._values
        known = counts.get(values)
        if known is None:
            values = _within(counts, values, COUNTERS_LIMIT)
            known = counts.get(values, 0.0)
        counts[values] = known + amount

    def forget(self, gone: Gone) -> None:
        """Drop the series of labels that left."""
        _forget(self._lines.names, gone, self._values)

    def render(self) -> str:
        """See `Metric`."""
        return self._lines.render(self._values.items())


class Gauge:
    """The last value."""

    def __init__(self, name: str, text: str, names: Sequence[str] = ()) -> None:
        self._lines = _Lines(name, text, "gauge", names)
        self._values: dict[Labels, float] = {} if names else {(): 0.0}

    def set(self, value: float, values: Labels = ()) -> None:
        """This is the value from now on."""
        self._values[values] = value

    def forget(self, gone: Gone) -> None:
        """Drop the series of labels that left."""
        _forget(self._lines.names, gone, self._values)

    def render(self) -> str:
        """See `Metric`."""
        return self._lines.render(self._values.items())


def gauges(name: str, text: str, names: Sequence[str], samples: Iterable[tuple[Labels, float]]) -> str:
    """The lines of a gauge whose samples are computed when somebody reads them, and not kept."""
    return _Lines(name, text, "gauge", names).render(samples)


def counters(name: str, text: str, names: Sequence[str], samples: Iterable[tuple[Labels, float]]) -> str:
    """The lines of a counter that somebody else keeps."""
    return _Lines(name, text, "counter", names).render(samples)


class Histogram:
    """Values by bucket. Without labels it is shown from the start."""

    def __init__(
        self, name: str, text: str, names: Sequence[str], bounds: Sequence[float], most: int = HISTOGRAMS_LIMIT
    ) -> None:
        self._name, self._names, self._bounds, self._most = name, names, bounds, most
        self._header = header(name, text, "histogram")
        self._counts: dict[Labels, list[int]] = {} if names else {(): self._empty()}
        self._sums: dict[Labels, float] = {}
        self._lines: dict[Labels, HistogramLines] = {}

    def observe(self, value: float, values: Labels = ()) -> None:
        """Take one value."""
        counts = self._counts.get(values)
        if counts is None:
            values = _within(self._counts, values, self._most)
            counts = self._counts.setdefault(values, self._empty())
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[values] = self._sums.get(values, 0.0) + value

    def render(self) -> str:
        """See `Metric`."""
        return self._header + "".join(
            [
                self._lines_of(values).render([*accumulate(counts)], self._sums.get(values, 0.0))
                for values, counts in self._counts.items()
            ]
        )

    def forget(self, gone: Gone) -> None:
        """Drop the series of labels that left."""
        _forget(self._names, gone, self._counts, self._sums, self._lines)

    def _lines_of(self, values: Labels) -> HistogramLines:
        lines = self._lines.get(values)
        if lines is None:
            pairs = dict(zip(self._names, values, strict=True))
            lines = self._lines[values] = HistogramLines(self._name, pairs, self._bounds)
        return lines

    def _empty(self) -> list[int]:
        return [0] * (len(self._bounds) + 1)


class _Lines:
    """The lines of a family with one sample for each set of labels."""

    def __init__(self, name: str, text: str, kind: str, names: Sequence[str]) -> None:
        self._name, self.names = name, names
        self._header = header(name, text, kind)
        self._starts: dict[Labels, str] = {}

    def render(self, samples: Iterable[tuple[Labels, float]]) -> str:
        return self._header + "".join([f"{self._start(values)}{number(value)}\n" for values, value in samples])

    def _start(self, values: Labels) -> str:
        start = self._starts.get(values)
        if start is None:
            pairs = dict(zip(self.names, values, strict=True))
            start = self._starts[values] = f"{self._name}{labels(pairs)} "
        return start


def _within(known: Mapping[Labels, object], values: Labels, most: int) -> Labels:
    """These values where there is room for one series more, else those of the series that the rest shares."""
    return values if len(known) < most else (OTHER,) * len(values)


def _forget(names: Sequence[str], gone: Gone, *figures: dict[Labels, Any]) -> None:
    places = [(at, gone[name]) for at, name in enumerate(names) if name in gone]
    if not places:
        return
    for series in figures:
        for values in [each for each in series if any(each[at] in words for at, words in places)]:
            del series[values]
