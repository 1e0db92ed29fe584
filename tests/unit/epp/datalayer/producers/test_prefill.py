"""The backlog of prompts at one endpoint, at its measured speed."""

import pytest

from epp.datalayer.member import Member
from epp.datalayer.producers.prefill import EndpointPrefill
from epp.datalayer.producers.speed import SpeedEstimator
from epp.domain import Endpoint, EndpointId


def prefill() -> EndpointPrefill:
    speed = SpeedEstimator(10_000.0)
    return EndpointPrefill(Member(0, Endpoint(EndpointId("a:1"), "a", 1, "a")), speed, 0.0, speed.seconds_per_token)


def test_the_backlog_drains_at_the_measured_speed() -> None:
    endpoint = prefill()
    assert endpoint.reserve(5000, 0.0) == 0
    assert endpoint.reserve(5000, 0.25) == pytest.approx(2500)
    assert endpoint.backlog(0.5) == pytest.approx(0.5)
    assert endpoint.backlog(5.0) == 0


@pytest.mark.parametrize("tokens_per_second", [2_000.0, 100_000.0])
def test_a_new_estimate_of_the_speed_changes_the_time_that_the_queue_takes_but_not_its_tokens(
    tokens_per_second: float,
) -> None:
    endpoint = prefill()
    assert endpoint.reserve(30_000, 0.0) == 0
    for _ in range(100):
        for tokens in (1_000, 20_000):
            endpoint.speed.first_token(tokens, 0.02 + tokens / tokens_per_second)
    assert 1 / endpoint.speed.seconds_per_token == pytest.approx(tokens_per_second, rel=0.1)

    assert endpoint.reserve(1_000, 1.0) == pytest.approx(20_000)
    assert endpoint.backlog(1.0) == pytest.approx(21_000 / tokens_per_second, rel=0.1)


def test_pictures_are_a_load_of_their_own_beside_the_text() -> None:
    endpoint, plain = prefill(), prefill()
    endpoint.reserve(2000, 0.0, media_tokens=1500)
    plain.reserve(2000, 0.0)
    assert endpoint.encoder_backlog(0.0) == pytest.approx(1500 * endpoint.speed.seconds_per_media_token)
    assert endpoint.backlog(0.0) == pytest.approx(plain.backlog(0.0) + endpoint.encoder_backlog(0.0))
    assert plain.encoder_backlog(0.0) == 0
    assert endpoint.encoder_backlog(10.0) == 0
