"""Windows that are windows."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.quotas.windows import CALENDAR_MONTH, DAY, SLOTS, Window

MOMENTS = st.floats(min_value=0, max_value=4e9)
LENGTHS = st.sampled_from([1.0, 7.5, 60.0, 3600.0, DAY, 30 * DAY])


def at(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


@given(MOMENTS, LENGTHS, st.floats(min_value=0, max_value=1))
def test_what_was_counted_counts_for_the_whole_window(moment: float, seconds: float, part: float) -> None:
    window = Window(seconds)

    assert window.slot(moment) >= window.first(moment + part * seconds)


@given(MOMENTS, LENGTHS)
def test_what_was_counted_counts_no_longer_than_a_slot_beyond_the_window(moment: float, seconds: float) -> None:
    window = Window(seconds)
    gone = moment + seconds * (1 + 1 / SLOTS) * 1.001

    assert window.slot(moment) < window.first(gone)
    assert moment + seconds <= window.end(window.slot(moment)) + 1e-6 * moment
    assert window.end(window.slot(moment)) <= gone


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        (at(2026, 1, 31, 23, 59, 59), at(2026, 2, 1)),
        (at(2026, 2, 1), at(2026, 3, 1)),
        (at(2026, 12, 31), at(2027, 1, 1)),
        (at(2028, 2, 29), at(2028, 3, 1)),
    ],
)
def test_a_month_is_the_calendars(moment: float, end: float) -> None:
    slot = CALENDAR_MONTH.slot(moment)

    assert CALENDAR_MONTH.end(slot) == end
    assert CALENDAR_MONTH.first(end - 0.001) == slot
    assert CALENDAR_MONTH.first(end) == slot + 1
