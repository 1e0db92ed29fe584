"""Endpoints that leave: what they still have, what they keep when they are soon back, when they are forgotten."""

from epp.datalayer.departures import DEPARTED_LIMIT, LINGER_SECONDS, LONGEST_DRAIN_SECONDS
from epp.domain import Endpoint, EndpointId, Outcome, PickId, PoolSpec
from epp.picking.picker import Picker
from tests.unit.epp.picking.driven import IDS, POOL, ask, endpoints, final, picker, scrape, spec

GONE = IDS[0]


def without(made: Picker, now: float) -> None:
    made.replace_pools({POOL: PoolSpec(POOL, tuple(each for each in spec().endpoints if each.id != GONE))}, now)


def back(made: Picker, now: float, name: str = GONE) -> None:
    first, *others = spec().endpoints
    first = Endpoint(first.id, first.address, first.port, name)
    made.replace_pools({POOL: PoolSpec(POOL, (first, *others))}, now)
    scrape(made, now)


def working(made: Picker, count: int) -> list[PickId]:
    """So many requests in flight at the endpoint that will leave; their ids."""
    ids: list[PickId] = []
    for number in range(200):
        pick = ask(made, f"{number}w" * 2000)
        if pick.targets[0] == GONE and len(ids) < count:
            ids.append(pick.id)
        else:
            made.settle(pick.id, Outcome.ENDED, 1.0)
    return ids


def test_an_endpoint_that_is_back_within_seconds_keeps_its_requests_and_its_prefixes() -> None:
    made = picker()
    working(made, 12)
    before = endpoints(made)[GONE]
    assert (before["in_flight"], before["index_blocks"]) != (0, 0)
    without(made, 2.0)
    made.pass_time(4.0)
    back(made, 5.0)
    after = endpoints(made, 5.0)[GONE]
    assert (after["in_flight"], after["index_blocks"]) == (12, before["index_blocks"])
    assert after["standing"] == "good"


def test_an_endpoint_that_left_gets_nothing_and_is_seen_draining_until_its_last_request_ends() -> None:
    made = picker()
    *some, last = working(made, 3)
    without(made, 2.0)
    shown = endpoints(made, 2.0)[GONE]
    assert (shown["standing"], shown["in_flight"], shown["share"]) == ("draining", 3, 0.0)
    assert GONE not in {ask(made, f"{number}n" * 1000, 2.1).targets[0] for number in range(30)}
    for pick_id in some:
        made.settle(pick_id, Outcome.ENDED, 3.0)
    made.pass_time(3.0 + 2 * LINGER_SECONDS)
    assert endpoints(made, 63.0)[GONE]["in_flight"] == 1
    made.settle(last, Outcome.ENDED, 64.0)
    assert GONE not in endpoints(made, 64.0)


def test_an_endpoint_that_left_for_longer_is_forgotten() -> None:
    made = picker()
    working(made, 0)
    without(made, 2.0)
    made.pass_time(2.0 + LINGER_SECONDS)
    back(made, 40.0)
    assert endpoints(made, 40.0)[GONE]["index_blocks"] == 0


def test_what_never_ends_drains_no_longer_than_a_bound_and_ends_quietly() -> None:
    made = picker()
    (lost,) = working(made, 1)
    without(made, 2.0)
    made.pass_time(2.0 + LONGEST_DRAIN_SECONDS, {lost})
    assert GONE not in endpoints(made, 910.0)
    back(made, 911.0)
    made.settle(lost, Outcome.ENDED, 912.0)
    assert endpoints(made, 912.0)[GONE]["in_flight"] == 0


def test_another_server_under_the_same_address_begins_with_nothing() -> None:
    made = picker()
    working(made, 5)
    without(made, 2.0)
    back(made, 3.0, "another-pod")
    after = endpoints(made, 3.0)[GONE]
    assert (after["in_flight"], after["index_blocks"]) == (0, 0)


def test_the_report_of_a_draining_endpoint_is_taken() -> None:
    made = picker()
    pick = next(each for number in range(50) if (each := ask(made, f"{number}r" * 2000)).targets[0] == GONE)
    held = endpoints(made)[GONE]["index_blocks"]
    without(made, 2.0)
    made.settle(pick.id, Outcome.ENDED, 3.0)
    made.observe(final(pick), 3.0)
    back(made, 4.0)
    assert endpoints(made, 4.0)[GONE]["index_blocks"] == held


def test_a_rollout_of_many_servers_keeps_a_bounded_number() -> None:
    made = picker()
    for generation in range(4):
        names = [f"10.{generation}.{number // 200}.{number % 200}:8000" for number in range(DEPARTED_LIMIT)]
        listed = tuple(Endpoint(EndpointId(name), "a", 8000, name) for name in names)
        made.replace_pools({POOL: PoolSpec(POOL, listed)}, 2.0 + generation)
    made.replace_pools({POOL: PoolSpec(POOL, ())}, 7.0)
    made.pass_time(7.0)
    assert len(list(made.pools.states[POOL].departures)) <= DEPARTED_LIMIT
