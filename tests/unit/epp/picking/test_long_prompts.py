"""A match has no length limit: an agent's prompt of 150 000 tokens counts as cached to its end."""

from random import Random

import pytest

from epp.domain import Outcome
from epp.picking.picker import Picker
from tests.unit.epp.picking.driven import ask, final, picker, scrape

TOKENS = 150_000
TEXT = Random(1).randbytes(2 * TOKENS).hex()
LATER = Random(2).randbytes(1000).hex()


def matched(made: Picker) -> int:
    (record,) = made.decisions.latest(1)
    tokens = record["matched_tokens"]
    assert isinstance(tokens, int)
    return tokens


def answered(made: Picker, text: str, now: float, cached: int) -> int:
    """Send a prompt; the engine counts so many of its tokens cached. What was expected of them."""
    pick = ask(made, text, now)
    expected = matched(made)
    made.settle(pick.id, Outcome.ENDED, now + 0.5)
    made.observe(final(pick, prompt_tokens=len(text) // 4, cached_tokens=cached), now + 0.5)
    scrape(made, now + 0.6)
    return expected


def test_all_of_it_is_expected_in_the_cache_the_next_time() -> None:
    made = picker()
    answered(made, TEXT, 1.0, 0)
    assert answered(made, TEXT + LATER, 2.0, TOKENS) >= TOKENS - 64


@pytest.mark.parametrize("kept", [20_000, 60_000, 120_000])
def test_what_an_engine_had_evicted_is_learned_however_far_behind_it_stands(kept: int) -> None:
    made = picker(endpoints=1)
    other = Random(3).randbytes(2 * TOKENS).hex()
    answered(made, other, 1.0, 0)
    answered(made, TEXT, 2.0, 0)
    assert answered(made, TEXT, 3.0, kept) >= TOKENS - 64  # what the engine lacks is younger than the other prompt
    assert answered(made, other, 4.0, 0) == 0
