"""Ejection and gradual return."""

from random import Random

import pytest

from epp.datalayer.health import (
    FAILURES_TO_EJECT,
    FIRST_EJECTION_SECONDS,
    LONGEST_EJECTION_SECONDS,
    RETURN_SECONDS,
    SCRAPE_TIMEOUTS_TO_EJECT,
    Health,
    Standing,
)


def ejected(health: Health, now: float) -> bool:
    return [health.request_failed(now, "upstream_connection_failure") for _ in range(FAILURES_TO_EJECT)][-1]


def test_single_failures_are_forgiven() -> None:
    health = Health()
    for _ in range(20):
        assert not health.request_failed(0.0, "upstream_connection_failure")
        health.request_succeeded()
    assert health.standing(0.0) is Standing.GOOD


def test_failures_in_a_row_eject_for_a_while_and_then_let_back_gradually() -> None:
    health = Health()
    assert ejected(health, 0.0)
    assert health.standing(FIRST_EJECTION_SECONDS - 0.1) is Standing.EJECTED
    assert health.standing(FIRST_EJECTION_SECONDS + 0.1) is Standing.RETURNING
    assert health.standing(FIRST_EJECTION_SECONDS + RETURN_SECONDS + 0.1) is Standing.GOOD


def test_an_endpoint_that_fails_for_days_is_avoided_for_the_longest_time_again_and_again() -> None:
    health, now = Health(), 0.0
    for _ in range(2000):
        assert ejected(health, now)
        length, now = health.ejected_until - now, health.ejected_until
    assert length == LONGEST_EJECTION_SECONDS
    assert now > 2 * 86_400


def test_a_returning_endpoint_takes_part_more_and_more_often() -> None:
    health, random = Health(), Random(1)
    ejected(health, 0.0)
    shares = []
    for share in (0.1, 0.5, 0.9):
        now = FIRST_EJECTION_SECONDS + share * RETURN_SECONDS
        shares.append(sum(health.admits(now, random) for _ in range(2000)) / 2000)
    assert shares == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def test_each_ejection_in_a_row_is_longer() -> None:
    health = Health()
    ejected(health, 0.0)
    ejected(health, 100.0)
    assert health.standing(100.0 + 2 * FIRST_EJECTION_SECONDS - 0.1) is Standing.EJECTED
    health.request_succeeded()
    ejected(health, 500.0)
    assert health.standing(500.0 + FIRST_EJECTION_SECONDS + 0.1) is Standing.RETURNING


def test_a_refused_scraper_ejects_until_it_is_answered() -> None:
    health = Health()
    assert not health.scrape_failed("refused")
    assert health.scrape_failed("refused")
    assert health.standing(1e6) is Standing.EJECTED
    assert health.scrape_succeeded(1e6)
    assert health.standing(1e6) is Standing.RETURNING
    assert not health.scrape_succeeded(1e6)


def test_a_server_that_says_nothing_for_long_is_ejected_until_it_does() -> None:
    health = Health()
    said = [health.scrape_timed_out("timeout") for _ in range(SCRAPE_TIMEOUTS_TO_EJECT + 2)]
    assert said == [False] * (SCRAPE_TIMEOUTS_TO_EJECT - 1) + [True, False, False]
    assert health.standing(1e6) is Standing.EJECTED
    assert health.scrape_succeeded(1e6)
    assert health.standing(1e6) is Standing.RETURNING


def test_a_server_that_answers_requests_may_be_slow_to_tell_its_metrics() -> None:
    health = Health()
    for _ in range(20):
        for _ in range(SCRAPE_TIMEOUTS_TO_EJECT - 1):
            assert not health.scrape_timed_out("timeout")
        health.request_succeeded()
    assert health.standing(0.0) is Standing.GOOD
