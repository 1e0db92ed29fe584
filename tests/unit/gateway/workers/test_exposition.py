"""Metrics of several workers as those of one service."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.service.metrics import Registry
from gateway.workers.exposition import Sum, labelled, read


def shown(requests: float, depth: float, *, model: str = "m") -> str:
    registry = Registry()
    registry.counter("requests_total", "Requests.", ("model",)).add((model,), requests)
    registry.gauge("depth", "Of the queue.").set(depth)
    histogram = registry.histogram("seconds", "Of a pick.", (), (0.1, 1.0))
    histogram.observe(0.5)
    return registry.render()


def values(text: str) -> dict[str, float]:
    return {key: value for family in read(text).values() for key, value in family.samples.items()}


def test_counters_and_histograms_are_added_up_and_gauges_name_their_worker() -> None:
    total = Sum()
    total.take(0, shown(3, 7))
    total.take(1, shown(4, 9))

    found = values(total.render())

    assert found['requests_total{model="m"}'] == 7
    assert (found['depth{worker="0"}'], found['depth{worker="1"}']) == (7, 9)
    assert (found['seconds_bucket{le="1.0"}'], found["seconds_count"], found["seconds_sum"]) == (2, 2, 1)


def test_each_family_keeps_its_header_once() -> None:
    total = Sum()
    for worker in (0, 1):
        total.take(worker, shown(1, 1))

    text = total.render()

    assert text.count("# TYPE requests_total counter\n") == text.count("# HELP requests_total Requests.\n") == 1
    assert text.index("# TYPE requests_total") < text.index("requests_total{") < text.index("# HELP depth")


def test_what_a_worker_counted_that_is_gone_stays_counted() -> None:
    total = Sum()
    total.take(0, shown(3, 7))
    total.take(1, shown(4, 9, model="n"))
    total.end(1)
    total.take(1, shown(1, 2))

    found = values(total.render())

    assert (found['requests_total{model="m"}'], found['requests_total{model="n"}']) == (4, 4)
    assert found["seconds_count"] == 3
    assert found['depth{worker="1"}'] == 2


def test_a_gauge_of_a_worker_that_is_gone_is_not_shown() -> None:
    total = Sum()
    total.take(1, shown(4, 9))
    total.end(1)

    assert not any(key.startswith("depth") for key in values(total.render()))


def test_a_label_with_braces_spaces_and_quotes_keeps_its_place() -> None:
    registry = Registry()
    registry.counter("c_total", "C.", ("name",)).add(('a "b" } {x} 7',), 2)
    total = Sum()
    total.take(0, registry.render())
    total.take(1, registry.render())

    assert list(values(total.render()).values()) == [4]
    assert labelled('d{a="{"}', 3) == 'd{worker="3",a="{"}'


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 5)), max_size=40))
def test_a_sum_never_falls(steps: list[tuple[int, bool, int]]) -> None:
    total, counted, last = Sum(), [0, 0, 0, 0], 0.0
    for worker, ends, more in steps:
        if ends:
            total.end(worker)
            counted[worker] = 0
        else:
            counted[worker] += more
            total.take(worker, shown(counted[worker], 0))
        found = values(total.render()).get('requests_total{model="m"}', 0.0)
        assert found >= last
        last = found
