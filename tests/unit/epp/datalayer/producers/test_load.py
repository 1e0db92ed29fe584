"""One endpoint's figures over time: what a scrape has seen counts once, what it has not is added."""

from epp.datalayer.member import Member
from epp.datalayer.producers.estimate import Load
from epp.datalayer.producers.load import BUSY_INTERVAL, IDLE_INTERVAL, KNOWN_INTERVAL, EndpointLoad
from epp.datalayer.producers.missing import EVERYTHING
from epp.domain import Endpoint, EndpointId, EngineMetrics


def load() -> EndpointLoad:
    return EndpointLoad(Member(0, Endpoint(EndpointId("a:1"), "a", 1, "a")), 0.0)


def idle(waiting: int = 0, running: int = 0) -> EngineMetrics:
    return EngineMetrics(waiting=waiting, running=running, kv_usage=0.0)


def test_picks_count_until_a_scrape_has_seen_them() -> None:
    endpoint = load()
    endpoint.scraped(idle(), 1.0)
    endpoint.start(100, 1.1)
    endpoint.start(100, 1.2)
    assert endpoint.load == Load(2, 0, 0.0)
    endpoint.scraped(idle(running=2), 1.3)
    assert endpoint.load == Load(0, 2, 0.0)


def test_a_pick_just_before_a_scrape_may_not_have_shown_yet() -> None:
    endpoint = load()
    endpoint.scraped(idle(), 1.0)
    endpoint.start(100, 1.099)
    endpoint.scraped(idle(), 1.1)
    assert endpoint.load.waiting == 1
    endpoint.scraped(idle(running=1), 1.2)
    assert endpoint.load == Load(0, 1, 0.0)


def test_a_request_that_came_and_went_between_two_scrapes_leaves_nothing() -> None:
    endpoint = load()
    endpoint.scraped(idle(running=1), 1.0)
    endpoint.start(100, 1.1)
    endpoint.end(100, 1.1, 1.2)
    assert endpoint.load == Load(0, 1, 0.0)
    assert (endpoint.in_flight, endpoint.in_flight_tokens) == (0, 0)


def test_the_end_of_an_older_request_lets_a_waiting_one_run() -> None:
    endpoint = load()
    endpoint.start(100, 0.5)
    endpoint.scraped(idle(waiting=2, running=4), 1.0)
    endpoint.end(100, 0.5, 1.1)
    assert endpoint.load == Load(1, 4, 0.0)


def test_counting_again_at_a_scrape_agrees_with_counting_along() -> None:
    endpoint = load()
    endpoint.scraped(idle(running=3), 1.0)
    endpoint.start(10, 1.049)
    endpoint.end(10, 0.4, 1.048)
    before = endpoint.load
    endpoint.scraped(idle(running=3), 1.05)  # neither pick nor end can have shown
    assert endpoint.load == before


def test_an_answer_is_in_flight_with_its_prompt() -> None:
    endpoint = load()
    endpoint.start(5000, 0.0)
    endpoint.start(1000, 0.0)
    assert endpoint.in_flight_tokens == 6000
    endpoint.end(5000, 0.0, 0.05)
    assert endpoint.in_flight_tokens == 1000


def test_an_idle_endpoint_is_scraped_less_and_less_often() -> None:
    endpoint = load()
    endpoint.scraped(idle(), 0.0)
    intervals = [endpoint.scrape_interval(at) for at in (0.0, 1.0, 5.0, 60.0)]
    assert intervals == sorted(intervals)
    assert (intervals[0], intervals[-1]) == (BUSY_INTERVAL, IDLE_INTERVAL)


def test_a_busy_endpoint_is_scraped_often_unless_the_ledger_knows_as_much() -> None:
    endpoint = load()
    endpoint.scraped(idle(waiting=1, running=5), 0.0)
    assert endpoint.scrape_interval(0.0) == BUSY_INTERVAL
    endpoint.scraped(idle(running=5), 0.0)
    assert endpoint.scrape_interval(0.0) == BUSY_INTERVAL  # somebody else's requests
    for _ in range(5):
        endpoint.start(1, 0.1)
    assert endpoint.scrape_interval(0.1) == KNOWN_INTERVAL


def test_metrics_go_stale_after_their_limit() -> None:
    endpoint = load()
    endpoint.scraped(idle(waiting=9), 0.0)
    assert endpoint.is_fresh(2.0)
    assert not endpoint.is_fresh(2.1)
    endpoint.estimate(2.1)
    assert endpoint.load == Load(0, 0, 0.0, EVERYTHING)
