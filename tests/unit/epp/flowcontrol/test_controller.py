"""Bands, ceilings, deadlines and what a refusal says."""

import pytest

from epp.domain import PickId
from epp.flowcontrol.ceilings import PriorityHoldback, StaticUsageLimit
from epp.flowcontrol.controller import UNLISTED_BANDS_LIMIT, FlowController, Gated
from epp.flowcontrol.eviction import Running, victims
from epp.flowcontrol.items import NEVER, Item, Limit, Outcome, Size
from epp.flowcontrol.ordering import EarliestDeadlineOrdering, SloDeadlineOrdering
from epp.flowcontrol.pace import LONGEST_SECONDS, Pace
from epp.flowcontrol.settings import BandSettings, Settings


def item(
    number: int,
    priority: int = 0,
    *,
    at: float = 0.0,
    slo: float | None = None,
    body: int = 0,
    patience: float = NEVER,
) -> Item:
    return Item(number, "", priority, Size(1, body, 10), at, slo, patience)


def running(name: str, priority: int, at: float, *, can_end: bool = True) -> Running:
    return Running(PickId(name), priority, at, can_end)


def expired(controller: FlowController, now: float) -> list[tuple[Item, Outcome]]:
    """All that have waited too long."""
    found = []
    while (each := controller.expire(now)) is not None:
        found.append(each)
    return found


def filled(settings: Settings, *items: Item) -> FlowController:
    controller = FlowController(settings)
    for each in items:
        assert controller.enqueue(each) is None
    return controller


def order(controller: FlowController) -> list[int]:
    """The ids that leave while the pool is idle."""
    found = []
    while (each := controller.next(0.0, 1.0)) is not None:
        found.append(each.id)
    return found


def test_the_higher_priority_leaves_first() -> None:
    controller = filled(Settings(), item(1, -1), item(2, 5), item(3, 0), item(4, 5))

    assert order(controller) == [2, 4, 3, 1]


def test_everything_leaves_that_there_is_room_for_at_once() -> None:
    controller = filled(Settings(), *(item(number) for number in range(300)))

    assert len(order(controller)) == 300


def test_a_gated_band_holds_up_those_below_it() -> None:
    settings = Settings(ceilings=StaticUsageLimit(0.8))
    controller = filled(settings, item(1, 1), item(2, -1))

    assert controller.next(0.8, 0.0) is None
    assert controller.gated(0.8) == Gated(1, 0.8, 0.8)
    assert controller.gated(0.79) is None


def test_batch_leaves_room_for_interactive_requests_that_are_not_there_yet() -> None:
    bands = {1: BandSettings(), -1: BandSettings()}
    controller = filled(Settings(bands=bands, ceilings=PriorityHoldback(0.5, 1.0)), item(1, -1))

    assert controller.next(0.5, 0.0) is None
    assert controller.enqueue(item(2, 1)) is None
    assert controller.next(0.5, 0.0) == item(2, 1)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (PriorityHoldback(0.4, 1.0), [1.0, 0.7, 0.4]),
        (PriorityHoldback(0.4, 1.0, "value"), [1.0, 0.4 + 0.6 * 2 / 12, 0.4]),
        (StaticUsageLimit(0.9), [0.9, 0.9, 0.9]),
    ],
)
def test_ceilings_fall_with_importance(policy: PriorityHoldback | StaticUsageLimit, expected: list[float]) -> None:
    assert policy.ceilings([10, 0, -2]) == pytest.approx(expected)


def test_a_lone_band_has_the_highest_ceiling() -> None:
    assert PriorityHoldback(0.4, 1.0).ceilings([-1]) == [1.0]


def test_the_first_token_objective_orders_a_band() -> None:
    settings = Settings(default_band=BandSettings(ordering=SloDeadlineOrdering()))
    controller = filled(settings, item(1), item(2, at=0.5, slo=4.0), item(3, at=1.0, slo=1.0))

    assert order(controller) == [3, 2, 1]


def test_a_full_band_refuses_and_others_do_not() -> None:
    settings = Settings(bands={0: BandSettings(Limit(bytes=100))})
    controller = filled(settings, item(1, body=60))

    assert controller.enqueue(item(2, body=60)) is Outcome.REJECTED_CAPACITY
    assert controller.enqueue(item(3, 1, body=60)) is None


def test_capacity_of_a_cancelled_request_is_free_at_once() -> None:
    controller = filled(Settings(limit=Limit(requests=1)), item(1))
    assert controller.enqueue(item(2)) is Outcome.REJECTED_CAPACITY

    assert controller.cancel(1) == item(1)
    assert controller.enqueue(item(3)) is None
    assert controller.cancel(1) is None


def test_a_request_waits_no_longer_than_its_ttl() -> None:
    controller = filled(Settings(ttl_seconds=5.0), item(1), item(2, 3, at=2.0))

    assert expired(controller, 4.9) == []
    assert expired(controller, 5.0) == [(item(1), Outcome.EVICTED_TTL)]
    assert expired(controller, 6.9) == []
    assert expired(controller, 7.0) == [(item(2, 3, at=2.0), Outcome.EVICTED_TTL)]


def test_a_request_waits_no_longer_than_its_door() -> None:
    first, second = item(1), item(2, patience=3.0)
    controller = filled(Settings(ttl_seconds=5.0), first, second)

    assert expired(controller, 2.9) == []
    assert expired(controller, 3.0) == [(second, Outcome.EVICTED_TTL)]
    assert expired(controller, 5.0) == [(first, Outcome.EVICTED_TTL)]


def test_the_request_that_gives_up_first_is_first_by_deadline() -> None:
    settings = Settings(default_band=BandSettings(ordering=EarliestDeadlineOrdering(10.0)), ttl_seconds=10.0)
    controller = filled(settings, item(1), item(2, at=1.0, patience=5.0), item(3, at=2.0, patience=20.0))

    assert order(controller) == [2, 1, 3]


def test_a_pool_that_loses_its_endpoints_starts_the_other_ttl() -> None:
    controller = filled(Settings(ttl_seconds=5.0, no_endpoint_ttl_seconds=60.0), item(1))

    controller.pool_changed(4.0, has_endpoints=False)

    assert controller.next(0.0, 4.0) is None
    assert expired(controller, 63.9) == []
    assert expired(controller, 64.0) == [(item(1), Outcome.EVICTED_NO_ENDPOINTS)]


def test_with_no_time_to_wait_an_empty_pool_refuses_at_once() -> None:
    controller = FlowController(Settings(ttl_seconds=5.0, no_endpoint_ttl_seconds=0.0))
    controller.pool_changed(0.0, has_endpoints=False)

    assert controller.enqueue(item(1)) is Outcome.REJECTED_NO_ENDPOINTS


def test_retry_after_is_what_the_queue_needs_at_its_present_pace() -> None:
    controller = filled(Settings(), *(item(number) for number in range(140)))
    for step in range(100):
        assert controller.next(0.0, step / 10) is not None

    seconds = controller.retry_after(0, 10.0)

    assert seconds == pytest.approx(41 / 10, rel=0.05)
    assert controller.retry_after(1, 10.0) == 1.0


def test_without_any_departure_the_longest_time_is_given() -> None:
    assert Pace().seconds_for(1, 100.0) == LONGEST_SECONDS


def test_priorities_beyond_the_limit_take_the_place_of_empty_bands() -> None:
    controller = FlowController(Settings())
    for number in range(3 * UNLISTED_BANDS_LIMIT):
        assert controller.enqueue(item(number, number)) is None
        assert controller.next(0.0, 0.0) is not None

    assert len(list(controller.bands())) == UNLISTED_BANDS_LIMIT


def test_a_request_need_not_wait_while_nothing_goes_before_it() -> None:
    controller = filled(Settings(), item(1, 0))

    assert not controller.has_before(1)
    assert controller.has_before(0)
    assert controller.has_before(-1)
    assert controller.ceiling(1) == 1.0


def test_the_newest_of_the_least_important_ends_for_a_more_important_request() -> None:
    old, new, lesser = running("old", -1, 1.0), running("new", -1, 2.0), running("lesser", -5, 0.0)
    in_flight = [old, new, lesser, running("kept", 0, 3.0)]

    assert victims(in_flight, Gated(1, 1.0, 1.3)) == [lesser]
    assert victims(in_flight, Gated(1, 1.0, 1.6)) == [lesser, new]
    assert victims(in_flight, Gated(-5, 1.0, 1.6)) == ()
    assert victims([*in_flight] * 10, Gated(1, 1.0, 1.0)) == [lesser]


def test_a_request_that_its_transport_cannot_end_is_no_victim() -> None:
    held, free = running("held", -5, 1.0, can_end=False), running("free", -1, 1.0)

    assert victims([held, free], Gated(1, 1.0, 2.0)) == [free]
