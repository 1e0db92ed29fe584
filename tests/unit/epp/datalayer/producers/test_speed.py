"""The speed estimator finds a server's prefill speed from times to first token."""

from random import Random

import pytest

from epp.datalayer.producers.speed import SpeedEstimator


@pytest.mark.parametrize("tokens_per_second", [3000, 12_000, 60_000])
def test_it_finds_the_prefill_speed(tokens_per_second: float) -> None:
    speed, random = SpeedEstimator(), Random(1)
    for _ in range(300):
        tokens = random.randrange(100, 8000)
        speed.first_token(tokens, 0.03 + tokens / tokens_per_second * random.uniform(0.9, 1.1))
    assert 1 / speed.seconds_per_token == pytest.approx(tokens_per_second, rel=0.15)
    assert speed.overhead_seconds == pytest.approx(0.03, abs=0.02)


def test_before_the_first_sample_it_is_the_prior() -> None:
    assert 1 / SpeedEstimator(20_000).seconds_per_token == pytest.approx(20_000)


def test_equal_prompts_do_not_break_it() -> None:
    speed = SpeedEstimator()
    for _ in range(500):
        speed.first_token(1000, 0.1)
    assert 200 <= 1 / speed.seconds_per_token <= 500_000


def test_nonsense_is_ignored() -> None:
    speed = SpeedEstimator()
    before = speed.seconds_per_token
    speed.first_token(100, -1.0)
    speed.first_token(100, 1e9)
    speed.decoded(0, 1.0)
    assert (speed.seconds_per_token, speed.samples) == (before, 0)


def test_it_follows_a_server_that_becomes_slower() -> None:
    speed, random = SpeedEstimator(), Random(1)
    for per_second in (20_000, 5_000):
        for _ in range(400):
            tokens = random.randrange(100, 8000)
            speed.first_token(tokens, 0.02 + tokens / per_second)
    assert 1 / speed.seconds_per_token == pytest.approx(5_000, rel=0.15)


def test_decode_time_per_token_is_an_average() -> None:
    speed = SpeedEstimator()
    for _ in range(300):
        speed.decoded(100, 2.5)
    assert speed.decode_seconds_per_token == pytest.approx(0.025, rel=0.01)
