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
    speed.decoded(0, 1.0, 1)
    speed.decoded(10, -1.0, 1)
    assert (speed.seconds_per_token, speed.samples) == (before, 0)


def test_it_follows_a_server_that_becomes_slower() -> None:
    speed, random = SpeedEstimator(), Random(1)
    for per_second in (20_000, 5_000):
        for _ in range(400):
            tokens = random.randrange(100, 8000)
            speed.first_token(tokens, 0.02 + tokens / per_second)
    assert 1 / speed.seconds_per_token == pytest.approx(5_000, rel=0.15)


def test_it_finds_the_gap_between_tokens_and_what_each_further_request_adds_to_it() -> None:
    speed, random = SpeedEstimator(), Random(1)
    for _ in range(300):
        requests = random.randrange(1, 60)
        speed.decoded(100, 100 * (0.01 + 0.0006 * requests) * random.uniform(0.95, 1.05), requests)
    assert speed.gap_per_request == pytest.approx(0.0006, rel=0.1)
    assert speed.decode_seconds_per_token == pytest.approx(0.0106, rel=0.1)


def test_a_steady_number_of_requests_tells_the_gap_and_breaks_nothing() -> None:
    speed = SpeedEstimator()
    for _ in range(300):
        speed.decoded(100, 2.5, 16)
    assert speed.decode_seconds_per_token + 15 * speed.gap_per_request == pytest.approx(0.025, rel=0.05)


@pytest.mark.parametrize("media_tokens_per_second", [1_000, 8_000, 100_000])
def test_it_finds_what_an_encoder_takes_and_keeps_prefill_apart(media_tokens_per_second: float) -> None:
    speed, random = SpeedEstimator(), Random(1)
    for number in range(600):
        tokens, media = random.randrange(100, 8000), 300 * random.randrange(1, 8)
        seconds = 0.03 + tokens / 12_000
        if number % 2:
            speed.first_token(tokens, seconds)
        else:
            speed.first_token(tokens, seconds + media / media_tokens_per_second, media)
    assert 1 / speed.seconds_per_token == pytest.approx(12_000, rel=0.1)
    assert speed.seconds_per_media_token == pytest.approx(1 / media_tokens_per_second, rel=0.15, abs=3e-6)
