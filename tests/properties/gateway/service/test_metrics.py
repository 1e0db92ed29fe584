"""Our counters, gauges and histograms are written as the official library writes them."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as TheirCounter
from prometheus_client import Gauge as TheirGauge
from prometheus_client import Histogram as TheirHistogram

from gateway.service.metrics import Registry

BOUNDS = (0.1, 1, 2.5)
NAMES = ("a", "b")
LABELS = st.tuples(st.sampled_from("abc"), st.sampled_from(['quoted "', "x", "two\nlines", "back\\slash"]))
VALUES = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 3.0]) | st.floats(0, 10)


def theirs_of(registry: CollectorRegistry) -> set[str]:
    """Their lines, without the times of creation that they add."""
    return {line for line in generate_latest(registry).decode().splitlines() if "_created" not in line}


def ours_of(registry: Registry) -> set[str]:
    return set(registry.render().splitlines())


@given(st.lists(st.tuples(LABELS, st.integers(0, 9)), max_size=20))
def test_counters_agree(events: list[tuple[tuple[str, str], int]]) -> None:
    ours, theirs = Registry(), CollectorRegistry()
    count, counter = (
        ours.counter("n_total", "A \\ text.", NAMES),
        TheirCounter("n", "A \\ text.", NAMES, registry=theirs),
    )
    for labels, number in events:
        count.add(labels, number)
        counter.labels(*labels).inc(number)
    assert ours_of(ours) == theirs_of(theirs)


@given(st.lists(st.tuples(LABELS, VALUES | st.sampled_from([float("inf"), float("-inf"), float("nan")])), max_size=20))
def test_gauges_agree(events: list[tuple[tuple[str, str], float]]) -> None:
    ours, theirs = Registry(), CollectorRegistry()
    gauge, other = ours.gauge("g", "Text.", NAMES), TheirGauge("g", "Text.", NAMES, registry=theirs)
    for labels, value in events:
        gauge.set(value, labels)
        other.labels(*labels).set(value)
    assert ours_of(ours) == theirs_of(theirs)


@given(st.lists(st.tuples(LABELS, VALUES), max_size=20))
def test_histograms_agree(events: list[tuple[tuple[str, str], float]]) -> None:
    ours, theirs = Registry(), CollectorRegistry()
    distribution = ours.histogram("d", "Text.", NAMES, BOUNDS)
    histogram = TheirHistogram("d", "Text.", NAMES, buckets=BOUNDS, registry=theirs)
    for labels, value in events:
        distribution.observe(value, labels)
        histogram.labels(*labels).observe(value)
    assert ours_of(ours) == theirs_of(theirs)


def test_metrics_without_labels_are_there_from_the_start() -> None:
    ours, theirs = Registry(), CollectorRegistry()
    ours.counter("n_total", "Text.")
    ours.histogram("d", "Text.", (), BOUNDS)
    TheirCounter("n", "Text.", registry=theirs)
    TheirHistogram("d", "Text.", buckets=BOUNDS, registry=theirs)
    assert ours_of(ours) == theirs_of(theirs)
