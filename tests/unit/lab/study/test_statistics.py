"""A difference is named when it is more than luck, and only then."""

from math import inf
from random import Random

import pytest

from lab.study.statistics import Interval, Verdict, difference, interval


def test_an_interval_is_students() -> None:
    found = interval([1.0, 2.0, 3.0])

    assert found.mean == 2.0
    assert found.half == pytest.approx(4.303 / 3**0.5)


def test_one_seed_has_no_interval_and_its_difference_is_noise() -> None:
    assert interval([1.0]) == Interval(1.0, None)
    assert difference([1.0], [2.0], is_more_better=False).verdict is Verdict.NOISE


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([0.8, 0.81, 0.79], Verdict.BETTER),
        ([1.2, 1.21, 1.19], Verdict.WORSE),
        ([0.7, 1.3, 0.9], Verdict.NOISE),
        ([1.0, 1.0, 1.0], Verdict.EQUAL),
        ([0.9999, 0.9999, 0.9999], Verdict.EQUAL),
        ([0.5, 0.5, inf], Verdict.NOISE),
        ([inf, inf, inf], Verdict.WORSE),
    ],
)
def test_less_is_better_of_a_time(ours: list[float], verdict: Verdict) -> None:
    assert difference(ours, [1.0, 1.0, 1.0], is_more_better=False).verdict is verdict


def test_seeds_are_compared_one_by_one() -> None:
    found = difference([10.0, 20.0, 30.0], [11.0, 21.0, 31.0], is_more_better=False)

    assert found.verdict is Verdict.BETTER
    assert found.share is not None
    assert found.share.mean == pytest.approx(-1 / 21)


def test_against_nothing_there_is_no_share() -> None:
    found = difference([0.1, 0.1, 0.1], [0.0, 0.0, 0.0], is_more_better=True)

    assert (found.share, found.verdict) == (None, Verdict.BETTER)


def test_the_same_under_luck_is_called_noise_nineteen_times_of_twenty() -> None:
    random = Random(1)
    verdicts = [
        difference(
            [random.gauss(1, 0.2) for _ in range(5)], [random.gauss(1, 0.2) for _ in range(5)], is_more_better=True
        )
        for _ in range(1000)
    ]

    assert sum(each.verdict is Verdict.NOISE for each in verdicts) == pytest.approx(950, abs=25)
