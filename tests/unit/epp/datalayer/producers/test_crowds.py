"""How many requests in flight share the end of a match, and how many endpoints that takes."""

from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.producers.crowds import PrefixCrowds


def test_a_crowd_is_those_in_flight() -> None:
    crowds = PrefixCrowds()
    for block in (7, 7, 8, None):
        crowds.enter(block)
    assert (crowds.count(7), crowds.count(8), crowds.total) == (2, 1, 4)
    crowds.leave(7)
    assert crowds.count(7) == 1


def test_a_crowd_needs_as_many_endpoints_as_its_share_of_all_requests() -> None:
    crowds = PrefixCrowds()
    for block in [7] * 6 + [8] * 2:
        crowds.enter(block)
    assert [crowds.needs(block, 8) for block in (7, 8, 9)] == [6, 2, 0]
    assert crowds.needs(7, 3) == 3


@given(st.lists(st.sampled_from([None, 1, 2, 3])))
def test_nothing_is_left_of_crowds_that_have_ended(blocks: list[int | None]) -> None:
    crowds = PrefixCrowds()
    for block in blocks:
        crowds.enter(block)
    for block in reversed(blocks):
        crowds.leave(block)
    assert (len(crowds), crowds.total) == (0, 0)
