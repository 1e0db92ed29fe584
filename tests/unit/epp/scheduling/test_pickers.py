"""The pickers: order, fallbacks and fair lots."""

from collections import Counter
from random import Random

import pytest

from epp.scheduling.pickers import MaxScorePicker, RandomPicker, WeightedRandomPicker
from epp.scheduling.plugin import Picker
from epp.scheduling.view import SchedulingView


def view(random: Random) -> SchedulingView:
    return SchedulingView([], random)


def shares(picker: Picker, scores: list[float], rounds: int = 3000) -> list[float]:
    seen, random = Counter[int](), view(Random(3))
    for _ in range(rounds):
        seen[picker.pick(scores, random)[0]] += 1
    return [seen[at] / rounds for at in range(len(scores))]


def test_the_highest_score_wins() -> None:
    assert list(MaxScorePicker().pick([0.1, 0.9, 0.5], view(Random(1)))) == [1]


def test_equal_scores_are_drawn_by_lot_not_by_list_order() -> None:
    assert shares(MaxScorePicker(), [0.5, 0.5, 0.1]) == pytest.approx([0.5, 0.5, 0.0], abs=0.05)
    assert shares(MaxScorePicker(max_num_of_endpoints=2), [0.5, 0.5, 0.1]) == pytest.approx([0.5, 0.5, 0.0], abs=0.05)


def test_several_endpoints_come_in_order_of_their_scores() -> None:
    assert list(MaxScorePicker(max_num_of_endpoints=3).pick([0.1, 0.9, 0.5, 0.7], view(Random(1)))) == [1, 3, 2]
    assert len(MaxScorePicker(max_num_of_endpoints=9).pick([0.1, 0.9], view(Random(1)))) == 2


def test_random_picks_evenly_and_without_repetition() -> None:
    assert shares(RandomPicker(), [9.0, 0.0, 0.0]) == pytest.approx([1 / 3] * 3, abs=0.05)
    assert sorted(RandomPicker(max_num_of_endpoints=5).pick([1.0] * 3, view(Random(1)))) == [0, 1, 2]


def test_weighted_random_picks_in_proportion() -> None:
    assert shares(WeightedRandomPicker(), [3.0, 1.0, 0.0]) == pytest.approx([0.75, 0.25, 0.0], abs=0.04)


def test_weighted_random_with_all_scores_zero_picks_evenly() -> None:
    assert shares(WeightedRandomPicker(), [0.0, 0.0]) == pytest.approx([0.5, 0.5], abs=0.04)


def test_weighted_random_does_not_lose_tiny_scores() -> None:
    # U^(1/score) underflows to 0 for all of these; their logarithms do not.
    assert shares(WeightedRandomPicker(), [3e-6, 1e-6]) == pytest.approx([0.75, 0.25], abs=0.04)
