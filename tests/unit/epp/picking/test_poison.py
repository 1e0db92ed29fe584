"""Requests whose servers break off: stopped after two, remembered for a while, and cleared by an answer."""

import orjson

from epp.domain import Outcome, Pick, Request, Ticket, Verdict
from epp.picking.picker import Picker
from epp.picking.poison import BODIES_LIMIT, REMEMBER_SECONDS
from epp.testing import NOBODY
from gateway.wire.errors import ErrorCode, Rejection
from tests.unit.epp.picking.driven import IDS, POOL, ask, endpoints, final, picker

BROKEN = {"status": 503, "flags": ("upstream_connection_termination",), "ttft_seconds": None}
TEXT = "poison " * 300


def submit(made: Picker, now: float, text: str = TEXT) -> Verdict | Ticket:
    body = orjson.dumps({"model": "m", "prompt": text})
    return made.submit(Request(POOL, "POST", "/v1/completions", {}, body), NOBODY, now)


def breaks(made: Picker, now: float, text: str = TEXT) -> str:
    """The request goes out once and breaks its server off; which one."""
    pick = submit(made, now, text)
    assert isinstance(pick, Pick)
    made.settle(pick.id, Outcome.ENDED, now)
    made.observe(final(pick, **BROKEN), now)
    return pick.targets[0]


def broken(made: Picker, now: float = 1.0, text: str = TEXT) -> None:
    """The request breaks two servers in one go, as the proxy walks its list."""
    pick = ask(made, text, now, fallbacks=2)
    made.settle(pick.id, Outcome.ENDED, now)
    made.observe(final(pick, served=pick.targets[1], attempts=2, **BROKEN), now)


def test_a_request_that_broke_two_servers_meets_no_third() -> None:
    made = picker()
    broken(made)
    refused = submit(made, 2.0)
    assert isinstance(refused, Rejection)
    assert (refused.status, refused.code) == (503, ErrorCode.UPSTREAM_UNAVAILABLE)
    assert refused.retry_after == REMEMBER_SECONDS - 1.0


def test_servers_that_it_broke_one_by_one_count_together() -> None:
    made = picker()
    first = breaks(made, 1.0)
    second = breaks(made, 1.1)
    while second == first:
        second = breaks(made, 1.2)
    assert isinstance(submit(made, 2.0), Rejection)


def test_other_requests_are_served() -> None:
    made = picker()
    broken(made)
    assert isinstance(submit(made, 2.0, "harmless"), Pick)


def test_it_is_forgotten_after_a_while() -> None:
    made = picker()
    broken(made)
    assert isinstance(submit(made, 1.0 + REMEMBER_SECONDS), Pick)


def test_an_answer_clears_it() -> None:
    made = picker()
    breaks(made, 1.0)
    pick = submit(made, 1.1)
    assert isinstance(pick, Pick)
    made.settle(pick.id, Outcome.ENDED, 1.2)
    made.observe(final(pick), 1.2)
    breaks(made, 1.3)
    assert isinstance(submit(made, 2.0), Pick)


def test_a_request_that_another_server_answered_is_none() -> None:
    made = picker()
    pick = ask(made, TEXT, fallbacks=2)
    made.settle(pick.id, Outcome.ENDED, 1.0)
    made.observe(final(pick, served=pick.targets[2], attempts=3), 1.0)
    assert isinstance(submit(made, 2.0), Pick)


def test_requests_without_a_body_are_never_taken_for_one_another() -> None:
    made = picker()
    for _ in range(2):
        pick = made.submit(Request(POOL, "GET", "/version", {}, b""), NOBODY, 1.0)
        assert isinstance(pick, Pick)
        made.settle(pick.id, Outcome.ENDED, 1.0)
        made.observe(final(pick, served=IDS[0], attempts=2, **BROKEN), 1.0)
    assert isinstance(made.submit(Request(POOL, "GET", "/version", {}, b""), NOBODY, 2.0), Pick)


def test_a_flood_of_them_is_bounded() -> None:
    made = picker()
    for number in range(BODIES_LIMIT + 50):
        broken(made, 1.0, f"{number} poison")
    assert isinstance(submit(made, 2.0, "0 poison"), Pick)
    assert isinstance(submit(made, 2.0, f"{BODIES_LIMIT + 49} poison"), Rejection)
    assert len(endpoints(made, 2.0)) == len(IDS)
