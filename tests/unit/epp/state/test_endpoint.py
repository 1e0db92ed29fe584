"""One endpoint's figures over time: what a scrape has seen counts once, what it has not is added."""

import pytest

from epp.datalayer.endpoint import BUSY_INTERVAL, IDLE_INTERVAL, KNOWN_INTERVAL, EndpointState
from epp.datalayer.estimate import Load
from epp.domain import Endpoint, EndpointId, EngineMetrics


def state() -> EndpointState:
    return EndpointState(Endpoint(EndpointId("a:1"), "a", 1, "a"), 0, 0.0, 10_000.0)


def idle(waiting: int = 0, running: int = 0) -> EngineMetrics:
    return EngineMetrics(waiting=waiting, running=running, kv_usage=0.0)


def test_picks_count_until_a_scrape_has_seen_them() -> None:
    endpoint = state()
    endpoint.observe(idle(), 1.0)
    endpoint.reserve(100, 1.1)
    endpoint.reserve(100, 1.2)
    assert endpoint.load == Load(2, 0, 0.0)
    endpoint.observe(idle(running=2), 1.3)
    assert endpoint.load == Load(0, 2, 0.0)


def test_a_pick_just_before_a_scrape_may_not_have_shown_yet() -> None:
    endpoint = state()
    endpoint.observe(idle(), 1.0)
    endpoint.reserve(100, 1.099)
    endpoint.observe(idle(), 1.1)
    assert endpoint.load.waiting == 1
    endpoint.observe(idle(running=1), 1.2)
    assert endpoint.load == Load(0, 1, 0.0)


def test_a_request_that_came_and_went_between_two_scrapes_leaves_nothing() -> None:
    endpoint = state()
    endpoint.observe(idle(running=1), 1.0)
    endpoint.reserve(100, 1.1)
    endpoint.release(100, 1.1, 1.2)
    assert endpoint.load == Load(0, 1, 0.0)
    assert (endpoint.in_flight, endpoint.in_flight_tokens) == (0, 0)


def test_the_end_of_an_older_request_lets_a_waiting_one_run() -> None:
    endpoint = state()
    endpoint.reserve(100, 0.5)
    endpoint.observe(idle(waiting=2, running=4), 1.0)
    endpoint.release(100, 0.5, 1.1)
    assert endpoint.load == Load(1, 4, 0.0)


def test_counting_again_at_a_scrape_agrees_with_counting_along() -> None:
    endpoint = state()
    endpoint.observe(idle(running=3), 1.0)
    endpoint.reserve(10, 1.049)
    endpoint.release(10, 0.4, 1.048)
    before = endpoint.load
    endpoint.observe(idle(running=3), 1.05)  # neither pick nor end can have shown
    assert endpoint.load == before


def test_the_backlog_drains_at_the_measured_speed() -> None:
    endpoint = state()
    assert endpoint.reserve(5000, 0.0) == 0
    assert endpoint.reserve(5000, 0.25) == pytest.approx(2500)
    assert endpoint.backlog(0.5) == pytest.approx(0.5)
    assert endpoint.backlog(5.0) == 0


def test_an_answer_is_in_flight_and_delays_nobodys_prompt() -> None:
    endpoint = state()
    endpoint.reserve(1000, 0.0, 4000)
    assert endpoint.in_flight_tokens == 5000
    assert endpoint.backlog(0.0) == pytest.approx(0.1)
    assert endpoint.reserve(1000, 0.0) == pytest.approx(1000)
    endpoint.release(5000, 0.0, 0.05)
    assert endpoint.in_flight_tokens == 1000


def test_an_idle_endpoint_is_scraped_less_and_less_often() -> None:
    endpoint = state()
    endpoint.observe(idle(), 0.0)
    intervals = [endpoint.scrape_interval(at) for at in (0.0, 1.0, 5.0, 60.0)]
    assert intervals == sorted(intervals)
    assert (intervals[0], intervals[-1]) == (BUSY_INTERVAL, IDLE_INTERVAL)


def test_a_busy_endpoint_is_scraped_often_unless_the_ledger_knows_as_much() -> None:
    endpoint = state()
    endpoint.observe(idle(waiting=1, running=5), 0.0)
    assert endpoint.scrape_interval(0.0) == BUSY_INTERVAL
    endpoint.observe(idle(running=5), 0.0)
    assert endpoint.scrape_interval(0.0) == BUSY_INTERVAL  # somebody else's requests
    for _ in range(5):
        endpoint.reserve(1, 0.1)
    assert endpoint.scrape_interval(0.1) == KNOWN_INTERVAL


def test_metrics_go_stale_after_their_limit() -> None:
    endpoint = state()
    endpoint.observe(idle(waiting=9), 0.0)
    assert endpoint.is_fresh(2.0)
    assert not endpoint.is_fresh(2.1)
    endpoint.refresh(2.1)
    assert endpoint.load == Load(0, 0, 0.0)


@pytest.mark.parametrize("tokens_per_second", [2_000.0, 100_000.0])
def test_a_new_estimate_of_the_speed_changes_the_time_that_the_queue_takes_but_not_its_tokens(
    tokens_per_second: float,
) -> None:
    endpoint = state()
    assert endpoint.reserve(30_000, 0.0) == 0
    for _ in range(100):
        for tokens in (1_000, 20_000):
            endpoint.speed.first_token(tokens, 0.02 + tokens / tokens_per_second)
    assert 1 / endpoint.speed.seconds_per_token == pytest.approx(tokens_per_second, rel=0.1)

    assert endpoint.reserve(1_000, 1.0) == pytest.approx(20_000)
    assert endpoint.backlog(1.0) == pytest.approx(21_000 / tokens_per_second, rel=0.1)
