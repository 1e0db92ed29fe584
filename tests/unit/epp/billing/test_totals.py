"""Lines of the bill, their bound, and their sums."""

from hypothesis import given
from hypothesis import strategies as st

from epp.billing.totals import MOST_LINES, NOTHING, OTHER, Line, Sums, Totals, day_of, summed

NAMES = st.sampled_from("abc")
LINES = st.builds(Line, st.sampled_from(["2026-11-27", "2026-11-28"]), NAMES, NAMES)
TOTALS = st.builds(Totals, *(st.integers(min_value=0, max_value=10**12) for _ in Totals._fields))


@given(st.lists(st.tuples(LINES, TOTALS)), st.lists(st.integers(min_value=0, max_value=50)))
def test_nothing_is_lost_and_nothing_counts_twice_whenever_sums_are_taken(
    used: list[tuple[Line, Totals]], taken_at: list[int]
) -> None:
    sums = Sums()
    kept: list[tuple[Line, Totals]] = []
    for at, (line, totals) in enumerate(used):
        sums.add(line, totals)
        if at in taken_at:
            kept += sums.take().items()
    kept += sums.take().items()

    assert summed(kept, Line._fields) == summed(used, Line._fields)
    assert sums.take() == {}


@given(st.lists(st.tuples(LINES, TOTALS)))
def test_whatever_it_is_summed_by_the_whole_is_the_same(used: list[tuple[Line, Totals]]) -> None:
    whole = summed(used, ()).get((), NOTHING)

    for by in (("tenant",), ("model", "day"), ("day", "tenant", "model")):
        parts = NOTHING
        for totals in summed(used, by).values():
            parts = parts.plus(totals)
        assert parts == whole


def test_a_flood_of_names_shares_one_line_until_the_next_day() -> None:
    sums = Sums()
    for at in range(MOST_LINES + 500):
        sums.add(Line("2026-11-28", f"t{at}", "m"), Totals(requests=1))
    sums.add(Line("2026-11-29", "late", "m"), Totals(requests=1))

    found = sums.take()
    assert len(found) == MOST_LINES + 2
    assert found[Line("2026-11-28", OTHER, OTHER)].requests == 500
    assert found[Line("2026-11-29", "late", "m")].requests == 1


def test_a_day_is_one_in_utc() -> None:
    assert [day_of(moment) for moment in (1_764_287_999.9, 1_764_288_000.0)] == ["2025-11-27", "2025-11-28"]


def test_sums_can_be_by_the_cost_centres_of_tenants() -> None:
    lines = [
        (Line("2026-11-28", tenant, "m"), Totals(requests=count)) for tenant, count in (("a", 1), ("b", 2), ("c", 4))
    ]
    found = summed(lines, ["cost_centre"], {"a": "research", "b": "research"})

    assert {key: each.requests for key, each in found.items()} == {("",): 4, ("research",): 3}
