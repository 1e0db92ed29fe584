"""Model servers that are about to stop: nothing new for them, and the moment when nothing is left."""

import pytest

from epp.domain import Feedback, Outcome, Pick, PickPlaced, PickSettled, PoolSpec, Request, ScrapeFault, ServerDrained
from epp.picking.draining import STOPPING_SECONDS
from epp.picking.picker import Picker
from epp.testing import NOBODY
from gateway.wire.errors import Rejection
from tests.unit.epp.picking.driven import IDS, POOL, Events, ask, endpoints, picker, scrape, spec
from tests.unit.epp.picking.test_departures import back, without, working

LEAVING = IDS[0]


def picked(made: Picker, now: float, count: int = 30) -> set[str]:
    """Where new prompts go while they are all in flight."""
    picks = [ask(made, f"{number} at {now}" * 300, now) for number in range(count)]
    for pick in picks:
        made.settle(pick.id, Outcome.ENDED, now)
    return {pick.targets[0] for pick in picks}


def test_a_server_that_drains_gets_nothing_new_and_is_idle_once_its_last_request_ended() -> None:
    made = picker()
    first, second = working(made, 2)
    assert made.draining.begin(LEAVING, 60.0, 2.0)
    assert LEAVING not in picked(made, 2.1)
    assert made.draining.in_flight(LEAVING) == 2
    made.settle(first, Outcome.ENDED, 3.0)
    assert made.draining.in_flight(LEAVING) == 1
    assert endpoints(made, 3.0)[LEAVING]["reason"] == "is about to stop"
    made.settle(second, Outcome.ENDED, 4.0)
    assert made.draining.in_flight(LEAVING) == 0


def test_no_list_names_a_server_that_drains() -> None:
    made = picker()
    made.draining.begin(LEAVING, 60.0, 2.0)
    assert set(ask(made, fallbacks=2, now=2.0).targets) == set(IDS[1:])


def test_the_only_server_of_a_pool_drains_like_any_other() -> None:
    made = picker(endpoints=1)
    made.draining.begin(LEAVING, 60.0, 2.0)
    request = Request(POOL, "POST", "/v1/completions", {}, b'{"model": "m", "prompt": "x"}')
    assert isinstance(made.submit(request, NOBODY, 2.0), Rejection)


def test_an_address_means_every_port_of_it() -> None:
    made = picker()
    assert made.draining.begin(LEAVING.removesuffix(":8000"), 60.0, 2.0)
    assert LEAVING not in picked(made, 2.1)


def test_a_server_that_no_pool_has_is_not_known() -> None:
    made = picker()
    assert not made.draining.begin("10.9.9.9:8000", 60.0, 2.0)
    assert LEAVING in picked(made, 2.1)


def test_a_server_that_was_not_stopped_gets_requests_again() -> None:
    made = picker()
    made.draining.begin(LEAVING, 60.0, 2.0)
    made.pass_time(61.0 + STOPPING_SECONDS)
    scrape(made, 61.5 + STOPPING_SECONDS)
    assert LEAVING not in picked(made, 61.9 + STOPPING_SECONDS)
    made.pass_time(62.0 + STOPPING_SECONDS)
    scrape(made, 62.5 + STOPPING_SECONDS)
    assert LEAVING in picked(made, 63.0 + STOPPING_SECONDS)


def test_a_server_that_stopped_and_is_back_at_its_address_gets_requests_at_once() -> None:
    made = picker()
    made.draining.begin(LEAVING, 60.0, 2.0)
    scrape(made, 3.0)
    assert LEAVING not in picked(made, 3.1)
    made.scraped(POOL, LEAVING, ScrapeFault.REFUSED, 4.0)
    scrape(made, 9.0)
    assert LEAVING in picked(made, 9.1)


def test_discovery_does_not_bring_it_back_before_but_another_server_at_its_address_is_there_at_once() -> None:
    made = picker()
    made.draining.begin(LEAVING, 60.0, 2.0)
    without(made, 3.0)
    back(made, 4.0)
    assert LEAVING not in picked(made, 4.1)
    back(made, 5.0, "another-pod")
    assert LEAVING in picked(made, 5.1)


def test_a_server_that_has_left_its_pool_is_waited_for() -> None:
    made = picker()
    (only,) = working(made, 1)
    without(made, 2.0)
    assert made.draining.begin(LEAVING, 60.0, 3.0)
    assert made.draining.in_flight(LEAVING) == 1
    made.settle(only, Outcome.ENDED, 4.0)
    assert made.draining.in_flight(LEAVING) == 0


def test_a_server_whose_drain_is_asked_for_again_is_still_known() -> None:
    made = picker()
    made.draining.begin(LEAVING, 600.0, 2.0)
    made.pass_time(100.0)
    assert made.draining.begin(LEAVING, 600.0, 101.0)


@pytest.mark.parametrize("is_settled_first", [False, True])
def test_a_request_that_the_proxy_may_have_moved_there_is_waited_for(is_settled_first: bool) -> None:
    made = picker()
    pick = moved_pick(made)
    if is_settled_first:
        made.settle(pick.id, Outcome.ENDED, 2.0)
    made.observe(
        Feedback(pick.id, POOL, False, pick.targets[0], flags=("connection_termination",), failed_attempt=1), 2.0
    )
    assert made.draining.in_flight(LEAVING) == (0 if is_settled_first else 1)
    made.settle(pick.id, Outcome.ENDED, 3.0)
    assert made.draining.in_flight(LEAVING) == 0


def moved_pick(made: Picker) -> Pick:
    """A request placed elsewhere, with the leaving server further down its list."""
    for number in range(60):
        pick = ask(made, f"{number}m" * 900, fallbacks=2)
        if pick.targets[0] != LEAVING:
            return pick
        made.settle(pick.id, Outcome.ENDED, 1.0)
    raise AssertionError("every request went to the leaving server")


def test_replicas_tell_each_other_and_wait_for_what_others_placed() -> None:
    events = Events()
    asked, other = picker(events), picker(replica="other")
    asked.draining.begin(LEAVING, 60.0, 2.0)
    (drained,) = (event for event in events.journal if isinstance(event, ServerDrained))
    other.apply(drained, 2.1)
    assert LEAVING not in picked(other, 2.2)

    placed = ask(other, now=2.3)
    asked.apply(PickPlaced(POOL, placed.id, ((LEAVING, 100),)), 2.3)
    assert asked.draining.in_flight(LEAVING) == 1


def test_what_another_replica_settles_is_no_longer_waited_for() -> None:
    made = picker()
    pick = ask(picker(replica="other"))
    made.apply(PickPlaced(POOL, pick.id, ((LEAVING, 100),)), 1.0)
    made.draining.begin(LEAVING, 60.0, 2.0)
    made.apply(PickSettled(POOL, pick.id), 3.0)
    assert made.draining.in_flight(LEAVING) == 0


def test_a_pool_that_is_listed_anew_keeps_what_drains() -> None:
    made = picker()
    made.draining.begin(LEAVING, 60.0, 2.0)
    made.replace_pools({POOL: PoolSpec(POOL, spec().endpoints)}, 3.0)
    scrape(made, 3.0)
    assert LEAVING not in picked(made, 3.1)
