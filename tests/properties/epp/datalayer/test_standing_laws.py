"""Laws of standings under any signs in any order."""

from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.standing.endpoint import Standing
from epp.datalayer.standing.pool import EJECTED_SHARE_LIMIT, PoolStanding
from epp.datalayer.standing.signals import OUTAGES, Signal
from epp.domain import EndpointId

IDS = [EndpointId(f"10.0.0.{number}:80") for number in range(5)]
STEPS = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(list(Signal)), st.floats(0, 6), st.booleans()), max_size=120
)


def play(steps: list[tuple[EndpointId, Signal, float, bool]], signals: set[Signal]) -> tuple[PoolStanding, float]:
    """The pool after these steps, of which only some signals count; laws are checked at each."""
    pool, now = PoolStanding(), 0.0
    for id_ in IDS:
        pool.joined(id_)
    for id_, signal, seconds, is_placed in steps:
        now += seconds
        pool.advance(now)
        before = pool.conditions(now)[id_].standing
        if is_placed:
            pool.placed(id_, now)
        if signal in signals:
            change = pool.observe(id_, signal, now)
            assert change is None or (change.endpoint == id_ and change.is_ejected and before is not Standing.EJECTED)
            assert change is None or pool.conditions(now)[id_].standing is Standing.EJECTED
        pool.advance(now)
        conditions = pool.conditions(now)
        assert all(0.0 <= condition.share <= 1.0 for condition in conditions.values())
        assert all(condition.reason for condition in conditions.values() if condition.share < 1.0)
        assert pool.reduced(now) == {each: found.share for each, found in conditions.items() if found.share < 1.0}
        assert pool.changes_at(now) >= now
    return pool, now


@given(STEPS)
def test_any_signs_leave_shares_between_none_and_all_with_a_reason(
    steps: list[tuple[EndpointId, Signal, float, bool]],
) -> None:
    play(steps, set(Signal))


@given(STEPS)
def test_failing_requests_never_take_more_than_half_of_a_pool_out(
    steps: list[tuple[EndpointId, Signal, float, bool]],
) -> None:
    pool, now = play(steps, set(Signal) - OUTAGES)

    out = [each for each in pool.conditions(now).values() if each.standing in (Standing.EJECTED, Standing.PROBING)]
    assert len(out) <= len(IDS) * EJECTED_SHARE_LIMIT


@given(STEPS)
def test_everybody_is_back_after_a_minute_of_good_answers(steps: list[tuple[EndpointId, Signal, float, bool]]) -> None:
    pool, now = play(steps, set(Signal))
    for _ in range(240):
        now += 0.25
        pool.advance(now)
        for id_ in IDS:
            pool.observe(id_, Signal.SCRAPED, now)
            if pool.conditions(now)[id_].standing is not Standing.PROBING or pool.is_due_for_probe(id_, now):
                pool.placed(id_, now)
                pool.observe(id_, Signal.ANSWERED, now)

    assert {each.standing for each in pool.conditions(now).values()} == {Standing.GOOD}
    assert pool.reduced(now) == {}
