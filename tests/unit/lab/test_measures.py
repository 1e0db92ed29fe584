"""The lab's arithmetic."""

from math import inf

import pytest

from lab.simulation.measures import Record, measure, over_seeds, percentile, spread


def record(
    arrival: float, *, ttft: float = 0.1, itl: float = 0.01, endpoint: int | None = 0, cached: int = 0
) -> Record:
    return Record(arrival, endpoint, ttft, itl, 100, cached)


def test_only_what_arrived_within_the_window_counts() -> None:
    measures = measure([record(0.5), record(1.0), record(2.9), record(3.0)], 1.0, 3.0, 1)
    assert measures.offered == 1.0


def test_goodput_counts_requests_that_kept_both_limits() -> None:
    records = [record(0.0), record(0.0, ttft=1.1), record(0.0, itl=0.051), record(0.0, ttft=1.0, itl=0.05)]
    assert measure(records, 0.0, 1.0, 1).goodput == 2.0


def test_a_refused_request_moves_the_percentiles_and_is_no_goodput() -> None:
    measures = measure([record(0.0), record(0.0, ttft=inf, itl=inf, endpoint=None)], 0.0, 1.0, 1)
    assert measures.ttft_p50 == 0.1
    assert measures.ttft_p90 == inf
    assert measures.goodput == 1.0


def test_the_hit_ratio_is_by_tokens_and_the_imbalance_by_requests() -> None:
    records = [record(0.0, cached=100), record(0.0), record(0.0), record(0.0, endpoint=1)]
    measures = measure(records, 0.0, 1.0, 2)
    assert measures.hit_ratio == 0.25
    assert measures.imbalance == 1.5


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.9, 9), (0.91, 10), (1.0, 10)])
def test_percentiles_are_by_nearest_rank(share: float, expected: int) -> None:
    assert percentile(range(1, 11), share) == expected


def test_over_seeds_gives_mean_and_deviation_and_stays_infinite() -> None:
    runs = [measure([record(0.0, ttft=ttft)], 0.0, 1.0, 1) for ttft in (0.1, 0.3)]
    figure = over_seeds(runs)["ttft_p50"]
    assert figure.mean == pytest.approx(0.2)
    assert figure.deviation == pytest.approx(0.1414, abs=1e-4)
    assert spread([1.0, inf]).mean == inf
