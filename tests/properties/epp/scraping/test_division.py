"""Who scrapes what, among replicas that know each other: laws of the division."""

from hypothesis import given
from hypothesis import strategies as st

from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, RunId, ScrapeFault
from epp.scraping.schedule.division import (
    CHECK_SECONDS,
    PATIENCE_SECONDS,
    scraper_of,
    until_due,
)
from epp.scraping.schedule.target import ScrapeTarget

RUNS = [RunId(f"replica-{number}") for number in range(5)]
TARGETS = [ScrapeTarget(PoolId("p"), Endpoint(EndpointId(f"10.0.0.{n}:80"), "h", 80, "n")) for n in range(400)]
fleets = st.lists(st.sampled_from(RUNS), min_size=1, unique=True)
moments = st.floats(0, 1e4)


def owners(fleet: list[RunId]) -> list[RunId]:
    return [scraper_of(target, fleet[0], fleet[1:]) for target in TARGETS]


@given(fleets, st.randoms())
def test_all_replicas_come_to_one_division(fleet: list[RunId], random: object) -> None:
    views = [[run, *(each for each in fleet if each != run)] for run in fleet]
    assert len({tuple(owners(view)) for view in views}) == 1


@given(fleets)
def test_each_has_about_its_share(fleet: list[RunId]) -> None:
    found = owners(fleet)
    fair = len(TARGETS) / len(fleet)
    assert all(0.6 * fair <= found.count(run) <= 1.5 * fair for run in fleet)


@given(fleets.filter(lambda fleet: len(fleet) > 1))
def test_one_that_leaves_moves_its_own_share_only(fleet: list[RunId]) -> None:
    before, after = owners(fleet), owners(fleet[:-1])
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) <= {fleet[-1]}
    assert len(moved) == before.count(fleet[-1])


@given(fleets, st.sets(st.sampled_from(RUNS)))
def test_who_does_not_reach_it_does_not_scrape_it_while_another_does(fleet: list[RunId], unable: set[RunId]) -> None:
    target = ScrapeTarget(PoolId("p"), TARGETS[0].endpoint)
    target.unable = unable
    able = set(fleet) - unable
    views = {run: scraper_of(target, run, [each for each in fleet if each != run]) for run in fleet}
    if able:
        assert len(set(views.values())) == 1
        assert set(views.values()) <= able
    elif len(fleet) > 1:
        assert views == {run: run for run in fleet}


@given(moments, moments, moments, st.floats(0.01, 1.0))
def test_what_another_scrapes_is_left_to_it_while_it_does_so_in_time(
    taken_at: float, checked_at: float, now: float, interval: float
) -> None:
    target = ScrapeTarget(PoolId("p"), TARGETS[0].endpoint)
    target.taken_at, target.checked_at = taken_at, checked_at
    wait = until_due(target, interval, now, is_own=False)
    if now - taken_at < interval and now - checked_at < CHECK_SECONDS:
        assert wait > 0
    if now - taken_at > interval + PATIENCE_SECONDS or now - checked_at > CHECK_SECONDS:
        assert wait == 0
    assert wait <= max(0.0, taken_at - now) + interval + PATIENCE_SECONDS + 1e-6
    assert until_due(target, interval, now, is_own=True) == 0


@given(st.sampled_from([EngineMetrics(), *ScrapeFault]))
def test_what_fails_here_is_looked_at_here(found: EngineMetrics | ScrapeFault) -> None:
    target = ScrapeTarget(PoolId("p"), TARGETS[0].endpoint)
    target.taken_at = target.checked_at = 100.0
    target.scraped(found)
    assert (until_due(target, 1.0, 100.0, is_own=False) == 0) is isinstance(found, ScrapeFault)
