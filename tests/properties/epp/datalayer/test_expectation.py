"""Laws of limits: what all others take is never late, and one slow server among several does not hide itself."""

from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.standing.expectation import Expectation

SECONDS = st.floats(0.01, 100.0)


def expectation() -> Expectation:
    return Expectation(least=0.001, margin=2.0, unknown=10.0)


@given(SECONDS, st.floats(0.5, 1.5), st.integers(1, 200), st.floats(1.0, 50.0))
def test_what_takes_as_long_as_everything_before_is_in_time(
    seconds: float, spread: float, count: int, size: float
) -> None:
    expected = expectation()
    for number in range(count):
        expected.took((seconds if number % 2 else seconds * spread) * size, size)
    assert expected.limit(size) >= seconds * size


@given(SECONDS, st.floats(20.0, 1000.0), st.integers(3, 8))
def test_one_server_of_several_that_takes_far_longer_stays_beyond_the_limit(
    seconds: float, factor: float, servers: int
) -> None:
    expected = expectation()
    for _ in range(20):
        expected.took(seconds)
    for number in range(50 * servers):
        expected.took(seconds * factor if number % servers == 0 else seconds)
    assert expected.limit() < seconds * factor


@given(SECONDS, st.floats(20.0, 1000.0))
def test_a_fleet_that_becomes_slow_as_a_whole_raises_its_limit(seconds: float, factor: float) -> None:
    expected = expectation()
    for _ in range(50):
        expected.took(seconds)
    for _ in range(100):
        expected.took(seconds * factor)
    assert expected.limit() >= seconds * factor
