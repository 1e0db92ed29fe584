"""Our counters and histograms show what the official library's would."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from epp.telemetry.tally import Count, Distribution

BOUNDS = (0.1, 1, 2.5)
LABELS = st.tuples(st.sampled_from("abc"), st.sampled_from(['quoted "', "x"]))
VALUES = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 3.0]) | st.floats(0, 10)


def samples(registry: CollectorRegistry) -> set[str]:
    text = generate_latest(registry).decode()
    return {line for line in text.splitlines() if "_created" not in line}


@given(st.lists(st.tuples(LABELS, st.integers(0, 9)), max_size=20))
def test_counters_agree(events: list[tuple[tuple[str, str], int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count, counter = Count("n_total", "Text.", ("a", "b")), Counter("n", "Text.", ["a", "b"], registry=theirs)
    ours.register(count)
    for labels, number in events:
        count.add(labels, number)
        counter.labels(*labels).inc(number)
    assert samples(ours) == samples(theirs)


@given(st.lists(st.tuples(LABELS, VALUES), max_size=20))
def test_histograms_agree(events: list[tuple[tuple[str, str], float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution("d", "Text.", ("a", "b"), BOUNDS)
    histogram = Histogram("d", "Text.", ["a", "b"], buckets=BOUNDS, registry=theirs)
    ours.register(distribution)
    for labels, value in events:
        distribution.observe(value, labels)
        histogram.labels(*labels).observe(value)
    assert samples(ours) == samples(theirs)


def test_metrics_without_labels_are_there_from_the_start() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    ours.register(Count("n_total", "Text.", ()))
    ours.register(Distribution("d", "Text.", (), BOUNDS))
    Counter("n", "Text.", registry=theirs)
    Histogram("d", "Text.", buckets=BOUNDS, registry=theirs)
    assert samples(ours) == samples(theirs)
