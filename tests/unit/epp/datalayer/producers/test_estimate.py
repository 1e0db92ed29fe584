"""The estimate of now: one pure function, one rule."""

import pytest

from epp.datalayer.producers.estimate import Load, Since, load_now
from epp.datalayer.producers.missing import EVERYTHING
from epp.domain import EngineMetrics


def scraped(waiting: int, running: int, usage: float = 0.0) -> EngineMetrics:
    return EngineMetrics(waiting=waiting, running=running, kv_usage=usage, block_size=16, block_count=100)


@pytest.mark.parametrize(
    ("metrics", "since", "in_flight", "expected"),
    [
        (scraped(0, 0), Since(), 0, Load(0, 0, 0.0)),
        (scraped(0, 3), Since(picks=2), 5, Load(2, 3, 0.0)),
        (scraped(4, 8), Since(finishes=3), 9, Load(1, 8, 0.0)),
        (scraped(1, 8), Since(finishes=3), 6, Load(0, 6, 0.0)),
        (scraped(0, 2), Since(finishes=5), 0, Load(0, 0, 0.0)),
        (scraped(2, 2), Since(picks=3, finishes=1), 6, Load(4, 2, 0.0)),
        # A scrape that does not know of our own requests cannot be right about them.
        (scraped(0, 0), Since(), 4, Load(0, 4, 0.0)),
        (scraped(0, 0, 0.5), Since(picks=1, picked_tokens=160), 1, Load(1, 0, 0.6)),
        (scraped(0, 1, 0.5), Since(finishes=1, finished_tokens=1600), 0, Load(0, 0, 0.0)),
        (scraped(0, 0, 0.9), Since(picks=1, picked_tokens=3200), 1, Load(1, 0, 1.0)),
    ],
)
def test_a_fresh_scrape_is_carried_forward(
    metrics: EngineMetrics, since: Since, in_flight: int, expected: Load
) -> None:
    found = load_now(metrics, since, in_flight, is_fresh=True)
    assert (found.waiting, found.running, found.kv_usage) == pytest.approx(
        (expected.waiting, expected.running, expected.kv_usage)
    )


def test_stale_metrics_leave_what_is_in_flight() -> None:
    assert load_now(scraped(50, 9, 0.7), Since(picks=1), 3, is_fresh=False) == Load(3, 3, 0.0, EVERYTHING)


def test_without_any_metrics_only_what_is_in_flight_is_known() -> None:
    assert load_now(None, Since(picks=2), 2, is_fresh=False) == Load(2, 2, 0.0, EVERYTHING)


def test_an_absent_family_counts_as_nothing_not_as_an_error() -> None:
    assert load_now(EngineMetrics(), Since(), 0, is_fresh=True) == Load(0, 0, 0.0)
