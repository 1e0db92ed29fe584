"""Engine tokens per estimated token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.producers.tokens import TokenScale


def test_the_estimate_stands_until_something_is_known() -> None:
    assert TokenScale().text == 1.0


def test_the_factor_approaches_what_engines_count() -> None:
    scale = TokenScale()
    for _ in range(200):
        scale.learn(1000, 800)
    assert scale.text == pytest.approx(0.8, abs=0.01)
    for _ in range(500):
        scale.learn(1000, 1500)
    assert scale.text == pytest.approx(1.5, abs=0.01)


def test_a_long_prompt_counts_more_than_a_short_one() -> None:
    scale = TokenScale()
    for _ in range(300):
        scale.learn(10_000, 8_000)
        scale.learn(100, 200)
    assert scale.text == pytest.approx(0.81, abs=0.01)


@pytest.mark.parametrize(("estimated", "counted"), [(0, 0), (0, 500), (100, 5000), (1000, 10)])
def test_a_prompt_that_is_not_text_alone_teaches_nothing(estimated: int, counted: int) -> None:
    scale = TokenScale()
    scale.learn(estimated, counted)
    assert scale.text == 1.0


def test_pictures_teach_their_own_factor_and_leave_that_of_text_alone() -> None:
    scale = TokenScale()
    for _ in range(300):
        scale.learn(1000, 800)
        scale.learn(1000 + 500, 800 + 1000, media=500)  # engines count twice as many for a picture
    assert scale.text == pytest.approx(0.8, abs=0.01)
    assert scale.media == pytest.approx(2.0, abs=0.05)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**6))))
def test_the_factor_stays_within_what_text_can_be(prompts: list[tuple[int, int, int]]) -> None:
    scale = TokenScale()
    for text, counted, media in prompts:
        scale.learn(text + media, counted, media)
    assert 0.25 <= scale.text <= 4.0
    assert 0.25 <= scale.media <= 4.0
