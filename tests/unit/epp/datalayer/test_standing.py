"""Sick servers by their signs: who is taken out, for how long, and how they come back."""

import pytest

from epp.datalayer.standing.endpoint import LEAST_SHARE, LONGEST_EJECTION_SECONDS, RETURN_SECONDS, Standing
from epp.datalayer.standing.pool import PoolStanding
from epp.datalayer.standing.signals import Signal
from epp.domain import EndpointId

SICK = EndpointId("10.0.0.1:8000")
WELL = tuple(EndpointId(f"10.0.0.{number}:8000") for number in range(2, 9))


def pool(*endpoints: EndpointId) -> PoolStanding:
    standing = PoolStanding()
    for endpoint in endpoints or (SICK, *WELL):
        standing.joined(endpoint)
    return standing


def serve(standing: PoolStanding, now: float, *, sick: Signal, rounds: int = 1) -> list[str]:
    """Every well server answers, the sick one shows its sign; the reasons of ejections."""
    reasons = []
    for _ in range(rounds):
        for endpoint in WELL:
            standing.observe(endpoint, Signal.ANSWERED, now)
        change = standing.observe(SICK, sick, now)
        if change is not None:
            reasons.append(change.reason)
    return reasons


def where(standing: PoolStanding, now: float, endpoint: EndpointId = SICK) -> Standing:
    standing.advance(now)
    return standing.conditions(now)[endpoint].standing


@pytest.mark.parametrize("signal", [Signal.BROKEN, Signal.CUT, Signal.SILENT, Signal.UNREACHABLE])
def test_three_failures_within_seconds_eject(signal: Signal) -> None:
    standing = pool()

    assert serve(standing, 0.0, sick=signal, rounds=2) == []
    assert serve(standing, 1.0, sick=signal) == [signal.value]
    assert where(standing, 1.0) is Standing.EJECTED


@pytest.mark.parametrize(
    ("signal", "count"),
    [(Signal.UNSCRAPABLE, 2), (Signal.MUTE, 5), (Signal.NOT_READY, 2), (Signal.FROZEN, 1)],
)
def test_an_outage_ejects_after_so_many_signs_in_a_row(signal: Signal, count: int) -> None:
    standing = pool()

    reasons = serve(standing, 0.0, sick=signal, rounds=count)

    assert reasons == [signal.value]


def test_a_slow_metrics_port_is_no_outage_while_requests_are_answered() -> None:
    standing = pool()
    for second in range(20):
        assert standing.observe(SICK, Signal.MUTE, second) is None
        if second % 4 == 3:
            standing.observe(SICK, Signal.ANSWERED, second)

    assert where(standing, 20.0) is Standing.GOOD


def test_a_server_that_served_thousands_and_hangs_now_is_out_after_five_failures() -> None:
    standing = pool()
    for step in range(2000):
        serve(standing, step / 100, sick=Signal.ANSWERED)
    assert serve(standing, 20.0, sick=Signal.SILENT, rounds=4) == []
    assert serve(standing, 20.0, sick=Signal.SILENT) == ["requests get no first byte"]


def test_a_server_that_fails_each_of_its_few_requests_is_out_after_five() -> None:
    """One with a lowered share gets few; each failure has faded before the next."""
    standing = pool()
    reasons = [serve(standing, minute * 60.0, sick=Signal.BROKEN) for minute in range(5)]

    assert reasons == [[], [], [], [], ["requests fail"]]


def test_a_burst_of_failing_requests_at_all_servers_ejects_nobody_however_much_they_served_before() -> None:
    standing = pool()
    for step in range(2000):
        serve(standing, step / 100, sick=Signal.ANSWERED)
    for _ in range(30):
        for endpoint in (SICK, *WELL):
            assert standing.observe(endpoint, Signal.BROKEN, 20.0) is None


def test_a_client_whose_requests_fail_everywhere_ejects_nobody() -> None:
    standing = pool()
    for second in range(60):
        for endpoint in (SICK, *WELL):
            assert standing.observe(endpoint, Signal.BROKEN, second) is None

    assert {condition.standing for condition in standing.conditions(60.0).values()} == {Standing.GOOD}


def test_the_only_endpoint_is_not_taken_out_for_failing_requests() -> None:
    standing = pool(SICK)

    assert [standing.observe(SICK, Signal.BROKEN, second) for second in range(30)] == [None] * 30


def test_at_most_half_of_a_pool_is_out_for_failing_requests() -> None:
    standing = pool()
    ejected = set()
    for second in range(10):
        for endpoint in WELL[:6]:
            change = standing.observe(endpoint, Signal.BROKEN, second)
            if change is not None:
                ejected.add(change.endpoint)
        for endpoint in (SICK, *WELL[6:]):
            standing.observe(endpoint, Signal.ANSWERED, second)
            standing.observe(endpoint, Signal.ANSWERED, second)

    assert 1 <= len(ejected) <= 4


def test_a_server_that_fails_now_and_then_gets_fewer_requests_and_heals() -> None:
    standing = pool()
    for step in range(10):
        serve(standing, step / 10, sick=Signal.ANSWERED, rounds=3)
        serve(standing, step / 10, sick=Signal.BROKEN)

    assert where(standing, 1.0) is Standing.GOOD
    assert LEAST_SHARE <= standing.reduced(1.0)[SICK] < 0.7
    for step in range(240):
        serve(standing, 1.0 + step / 4, sick=Signal.ANSWERED)
    assert standing.reduced(60.0) == {}


def test_an_ejected_server_comes_back_by_single_requests() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.BROKEN, rounds=3)
    assert where(standing, 3.9) is Standing.EJECTED
    assert not standing.is_due_for_probe(SICK, 3.9)

    assert where(standing, 4.0) is Standing.PROBING
    assert standing.is_due_for_probe(SICK, 4.0)
    standing.placed(SICK, 4.0)
    assert not standing.is_due_for_probe(SICK, 4.5)
    standing.observe(SICK, Signal.ANSWERED, 4.5)
    assert not standing.is_due_for_probe(SICK, 5.0)
    assert standing.is_due_for_probe(SICK, 5.5)
    standing.placed(SICK, 5.5)
    standing.observe(SICK, Signal.ANSWERED, 6.0)

    assert where(standing, 6.0) is Standing.RETURNING
    assert standing.reduced(6.0)[SICK] == pytest.approx(LEAST_SHARE)
    assert standing.reduced(6.0 + RETURN_SECONDS / 2)[SICK] == pytest.approx(0.55)
    assert where(standing, 6.0 + RETURN_SECONDS) is Standing.GOOD
    assert standing.reduced(6.0 + RETURN_SECONDS) == {}


def test_a_probe_that_fails_ejects_for_longer_within_a_bound() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.BROKEN, rounds=3)
    now, waits = 0.0, []
    for _ in range(5):
        start = now
        while where(standing, now) is Standing.EJECTED:
            now += 0.5
        waits.append(now - start)
        standing.placed(SICK, now)
        assert standing.observe(SICK, Signal.BROKEN, now) is not None

    assert waits == [4.0, 8.0, 12.0, 12.0, 12.0]
    assert max(waits) == LONGEST_EJECTION_SECONDS


def test_a_server_is_back_within_half_a_minute_of_its_recovery_however_often_it_was_ejected() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.BROKEN, rounds=3)
    now, recovered = 0.0, 300.0
    while now < recovered + 30.0:
        now += 0.25
        standing.advance(now)
        if standing.is_due_for_probe(SICK, now):
            standing.placed(SICK, now)
            standing.observe(SICK, Signal.ANSWERED if now > recovered else Signal.BROKEN, now)

    assert where(standing, now) is Standing.GOOD


def test_a_server_that_cannot_be_scraped_is_not_probed_by_requests() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.UNSCRAPABLE, rounds=2)

    assert where(standing, 300.0) is Standing.EJECTED
    standing.observe(SICK, Signal.SCRAPED, 300.0)
    assert where(standing, 300.0) is Standing.PROBING


def test_a_frozen_engine_stays_out_until_it_answers_although_its_metrics_do() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.FROZEN)
    standing.observe(SICK, Signal.SCRAPED, 1.0)

    assert where(standing, 100.0) is Standing.EJECTED
    standing.observe(SICK, Signal.ANSWERED, 100.0)
    assert where(standing, 100.0) is Standing.PROBING


def test_one_failure_while_returning_is_forgiven_and_two_are_not() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.BROKEN, rounds=3)
    for now in (4.0, 5.5):
        standing.advance(now)
        standing.placed(SICK, now)
        standing.observe(SICK, Signal.ANSWERED, now)
    assert where(standing, 6.0) is Standing.RETURNING

    assert standing.observe(SICK, Signal.BROKEN, 6.0) is None
    assert standing.observe(SICK, Signal.BROKEN, 6.5) is not None


def test_a_server_that_refuses_for_load_rests_and_is_not_ejected() -> None:
    standing = pool()
    for step in range(50):
        assert standing.observe(SICK, Signal.OVERLOADED, step / 10) is None
    standing.rest(SICK, 3600.0, 5.0)

    assert standing.reduced(9.9) == {SICK: LEAST_SHARE}
    assert standing.reduced(10.1) == {}


def test_every_state_names_its_reason() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.BROKEN, rounds=3)

    assert standing.conditions(0.0)[SICK].reason == "requests fail"
    assert standing.conditions(0.0)[WELL[0]].reason == ""


def test_an_endpoint_that_left_is_judged_anew() -> None:
    standing = pool()
    serve(standing, 0.0, sick=Signal.BROKEN, rounds=3)
    standing.left(SICK)
    assert standing.observe(SICK, Signal.BROKEN, 1.0) is None
    standing.joined(SICK)

    assert where(standing, 1.0) is Standing.GOOD
