"""When workers are started again: in virtual time, without a process."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.workers.supervision import PAUSE_SECONDS, STEADY_SECONDS, Supervision


def served(count: int = 2) -> Supervision:
    """All of them run and were ready at time 0."""
    found = Supervision(count, 0.0)
    for index in found.due(0.0):
        found.started(index, 0.0)
        found.seen(index, is_ready=True)
    return found


def test_all_are_due_at_the_start_and_none_once_they_run() -> None:
    found = Supervision(3, 5.0)

    assert found.due(5.0) == (0, 1, 2)
    for index in found.due(5.0):
        found.started(index, 5.0)
    assert (found.due(1e9), found.next_due(), found.running) == ((), None, (0, 1, 2))


def test_a_worker_that_ends_after_a_long_time_is_started_again_at_once_and_alone() -> None:
    found = served()

    pause = found.ended(1, 1000.0)

    assert pause == PAUSE_SECONDS[0]
    assert (found.running, found.ready) == ((0,), (0,))
    assert found.due(1000.0) == ()
    assert found.next_due() == 1000.0 + pause
    assert found.due(1000.0 + pause) == (1,)
    assert found.restarts == (0, 1)


def test_one_that_fails_again_and_again_is_started_ever_more_seldom() -> None:
    found = served()
    now, pauses = 0.0, []
    for _ in range(10):
        pauses.append(found.ended(1, now))
        now += pauses[-1]
        found.started(1, now)
        now += 0.5

    assert pauses == sorted(pauses)
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == PAUSE_SECONDS[1]


def test_one_that_ran_well_for_a_while_is_forgiven() -> None:
    found = served()
    for _ in range(5):
        found.ended(1, 1.0)
        found.started(1, 1.0)

    assert found.ended(1, 1.0 + STEADY_SECONDS) == PAUSE_SECONDS[0]


def test_one_that_ends_before_any_was_ready_is_a_mistake_and_ends_all() -> None:
    found = Supervision(2, 0.0)
    for index in found.due(0.0):
        found.started(index, 0.0)

    found.ended(0, 1.0)

    assert found.is_hopeless
    assert found.is_stopping
    assert found.due(100.0) == ()


def test_one_that_is_not_ready_yet_after_a_restart_is_no_mistake() -> None:
    found = served()
    found.ended(1, 50.0)
    found.started(1, 50.1)

    found.ended(1, 50.2)

    assert not found.is_hopeless
    assert found.due(60.0) == (1,)


def test_nothing_is_started_once_it_stops() -> None:
    found = served()
    found.stop()

    found.ended(0, 10.0)

    assert (found.due(1e9), found.next_due(), found.running) == ((), None, (1,))
    assert not found.is_hopeless


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30)), max_size=40))
def test_whatever_ends_each_worker_runs_or_is_due_within_the_longest_pause(ends: list[tuple[int, float]]) -> None:
    found, now = served(3), 0.0
    for index, later in ends:
        now += later
        for due in found.due(now):
            found.started(due, now)
        if index in found.running:
            assert 0 < found.ended(index, now) <= PAUSE_SECONDS[1]
        waiting = set(range(3)) - set(found.running)
        assert set(found.due(now + PAUSE_SECONDS[1])) == waiting
