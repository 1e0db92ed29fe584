"""Engines that stand still while their server answers for health and metrics."""

import pytest

from epp.datalayer.standing.progress import (
    LONGEST_ENTRY_SECONDS,
    LONGEST_SINGLE_ENTRY_SECONDS,
    LONGEST_STEP_SECONDS,
    RETRY_SECONDS,
)
from epp.domain import EngineMetrics, Outcome, Pick
from epp.picking.picker import Picker
from tests.unit.epp.picking.driven import IDS, POOL, ask, endpoints, final, picker

BAD = IDS[0]


def scrape(made: Picker, now: float, *, tokens: float | None, running: int = 0) -> None:
    """The bad endpoint counts as given, the others go on."""
    for id_ in IDS:
        counted = tokens if id_ == BAD else 1000.0 * now
        metrics = EngineMetrics(0, running, 0.0, block_size=16, block_count=10_000, computed_tokens=counted)
        made.scraped(POOL, id_, metrics, now)


def standing(made: Picker, now: float) -> object:
    made.pass_time(now)
    return endpoints(made, now)[BAD]["standing"]


def hold(made: Picker, count: int, now: float) -> list[Pick]:
    """So many requests that the bad endpoint holds; what others get is answered."""
    held: list[Pick] = []
    number = 0
    while len(held) < count:
        number += 1
        pick = ask(made, f"{number}-{now}" * 1000, now)
        if pick.targets[0] == BAD:
            held.append(pick)
        else:
            made.settle(pick.id, Outcome.ENDED, now)
    return held


@pytest.mark.parametrize(
    ("requests", "running", "seconds"),
    [
        (2, 0, LONGEST_ENTRY_SECONDS),
        (1, 0, LONGEST_SINGLE_ENTRY_SECONDS),
        (1, 1, LONGEST_STEP_SECONDS),
    ],
)
def test_an_engine_that_counts_no_tokens_while_it_holds_requests_is_out_within_seconds(
    requests: int, running: int, seconds: float
) -> None:
    made = picker()
    scrape(made, 1.0, tokens=5.0)
    hold(made, requests, 1.1)
    for step in range(int(seconds / 0.25)):
        scrape(made, 1.1 + step / 4, tokens=5.0, running=running)
    assert standing(made, 1.1 + seconds - 0.25) == "good"
    scrape(made, 1.2 + seconds, tokens=5.0, running=running)
    assert standing(made, 1.2 + seconds) == "ejected"
    assert str(endpoints(made, 1.2 + seconds)[BAD]["reason"]).startswith("computes nothing while it holds requests")


@pytest.mark.parametrize("tokens", [None, 5.0])
def test_an_engine_that_holds_nothing_or_does_not_count_is_not_frozen(tokens: float | None) -> None:
    made = picker()
    held = hold(made, 3, 1.1)
    if tokens is not None:
        for pick in held:
            made.settle(pick.id, Outcome.ENDED, 1.2)
    for second in range(2, 60):
        scrape(made, float(second), tokens=tokens)
    assert standing(made, 60.0) == "good"


def test_clients_that_read_slowly_freeze_no_engine() -> None:
    made = picker()
    scrape(made, 1.0, tokens=5.0)
    hold(made, 20, 1.1)
    for second in range(2, 60):
        scrape(made, float(second), tokens=9000.0)
    assert standing(made, 60.0) == "good"


def test_answers_show_that_an_engine_with_stale_metrics_computes() -> None:
    made = picker()
    scrape(made, 1.0, tokens=5.0)
    for step in range(240):
        now = 1.1 + step / 4
        (pick,) = hold(made, 1, now)
        made.settle(pick.id, Outcome.ENDED, now + 0.2)
        made.observe(final(pick), now + 0.2)
        scrape(made, now + 0.2, tokens=5.0, running=1)
    assert standing(made, 61.2) == "good"


@pytest.mark.parametrize("how", ["counts", "holds nothing", "was out long enough"])
def test_a_frozen_engine_is_tried_again_in_time(how: str) -> None:
    made = picker()
    scrape(made, 1.0, tokens=5.0)
    held = hold(made, 2, 1.1)
    scrape(made, 1.2 + LONGEST_ENTRY_SECONDS, tokens=5.0)
    now = 1.2 + LONGEST_ENTRY_SECONDS + RETRY_SECONDS
    scrape(made, now - 0.1, tokens=5.0)
    assert standing(made, now - 0.1) == "ejected"
    if how == "holds nothing":
        now -= 0.1
        for pick in held:
            made.settle(pick.id, Outcome.ENDED, now)
            made.observe(final(pick)._replace(status=504, ttft_seconds=None), now)
    scrape(made, now, tokens=6.0 if how == "counts" else 5.0)
    assert standing(made, now) == "probing"


def test_an_engine_that_is_still_frozen_gets_one_request_in_each_try() -> None:
    made = picker()
    scrape(made, 1.0, tokens=5.0)
    hold(made, 2, 1.1)
    went = 0
    for step in range(4 * 120):
        now = 1.2 + step / 4
        scrape(made, now, tokens=5.0)
        made.pass_time(now)
        pick = ask(made, f"{step}s" * 1000, now)
        if pick.targets[0] == BAD and endpoints(made, now)[BAD]["standing"] != "good":
            went += 1
        elif pick.targets[0] != BAD:
            made.settle(pick.id, Outcome.ENDED, now)
    assert 2 <= went <= 120 / RETRY_SECONDS
