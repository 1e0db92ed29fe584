"""A request about a stored response or conversation goes to the endpoint that keeps it."""

from dataclasses import replace

import orjson
import pytest

from epp.datalayer.stored import STORED_LIMIT
from epp.domain import AnswerStored, EndpointId, Pick, PoolId, Request, ScrapeFault
from epp.picking.picker import Picker
from epp.testing import NOBODY
from gateway.wire import protocol
from gateway.wire.errors import ErrorCode, Rejection
from tests.unit.epp.picking.driven import IDS, POOL, Events, final, picker, scrape, spec

ID = "resp_0123"


def create(made: Picker, stored_id: str = ID, served: EndpointId = IDS[2]) -> Pick:
    """A response that this server has stored."""
    pick = send(made, "POST", "/v1/responses", {"model": "m", "input": "hi"})
    made.observe(final(pick, served=served, stored_id=stored_id), 2.0)
    return pick


def send(made: Picker, method: str, path: str, body: object = None, subset: tuple[str, ...] | None = None) -> Pick:
    raw = b"" if body is None else orjson.dumps(body)
    request = Request(POOL, method, path, {"content-type": "application/json"}, raw, subset=subset, fallbacks=2)
    verdict = made.submit(request, NOBODY, 3.0)
    assert isinstance(verdict, Pick)
    return verdict


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/v1/responses/{ID}", None),
        ("GET", f"/v1/responses/{ID}?stream=true&starting_after=3", None),
        ("DELETE", f"/v1/responses/{ID}", None),
        ("GET", f"/v1/responses/{ID}/input_items", None),
        ("POST", f"/v1/responses/{ID}/cancel", None),
        ("POST", f"/prefix/v1/responses/{ID}/cancel", {}),
        ("GET", f"/v1/conversations/{ID}/items/msg_1", None),
        ("POST", f"/v1/conversations/{ID}/items", {"items": [{"role": "user", "content": "hi"}]}),
        ("POST", "/v1/responses", {"model": "m", "input": "go on", "previous_response_id": ID}),
        ("POST", "/v1/responses", {"model": "m", "input": "go on", "conversation": ID}),
        ("POST", "/v1/responses", {"model": "m", "input": "go on", "conversation": {"id": ID}}),
    ],
)
def test_it_goes_to_the_server_that_keeps_it_and_to_no_other(method: str, path: str, body: object) -> None:
    made = picker()
    create(made)

    picks = [send(made, method, path, body) for _ in range(5)]

    assert {pick.targets for pick in picks} == {(IDS[2],)}
    assert all((protocol.RETRIES, "0") in pick.headers for pick in picks)


def test_it_is_known_while_the_answer_still_streams() -> None:
    made = picker()
    pick = send(made, "POST", "/v1/responses", {"model": "m", "input": "hi"})
    made.observe(final(pick, is_final=False, served=IDS[1], stored_id=ID), 1.5)

    assert send(made, "POST", f"/v1/responses/{ID}/cancel").targets == (IDS[1],)


def test_other_replicas_know_it_too() -> None:
    events = Events()
    create(picker(events))
    (stored,) = [event for event in events.journal if isinstance(event, AnswerStored)]
    other = picker(replica="other")
    other.apply(stored, 2.5)

    assert (stored.pool, stored.endpoint, stored.stored_id) == (POOL, IDS[2], ID)
    assert send(other, "GET", f"/v1/responses/{ID}").targets == (IDS[2],)


def test_an_id_that_is_not_known_may_be_anywhere() -> None:
    assert len(send(picker(), "GET", f"/v1/responses/{ID}").targets) == 3


def test_of_several_pools_the_one_that_keeps_it_serves() -> None:
    made = picker()
    other = PoolId("default/other")
    made.replace_pools({POOL: spec(), other: replace(spec(), id=other)}, 2.5)
    create(made)
    both = Request(PoolId(f"{other},{POOL}"), "GET", f"/v1/responses/{ID}", {})

    found = made.submit(both, NOBODY, 3.0)
    unknown = made.submit(replace(both, path="/v1/responses/resp_other"), NOBODY, 3.0)

    assert isinstance(found, Pick)
    assert (found.pool, found.targets) == (POOL, (IDS[2],))
    assert isinstance(unknown, Rejection)
    assert (unknown.status, unknown.code) == (404, ErrorCode.STORED_NOT_FOUND)


@pytest.mark.parametrize("path", ["/v1/responses/input_tokens", "/v1/responses/compact"])
def test_an_action_of_the_api_is_no_id(path: str) -> None:
    made = picker()
    create(made, path.rpartition("/")[2])

    assert len(send(made, "POST", path, {"model": "m", "input": "hi"}).targets) == 3


def test_a_server_that_left_keeps_nothing() -> None:
    made = picker()
    create(made)
    made.replace_pools({POOL: spec(2)}, 3.0)

    assert set(send(made, "GET", f"/v1/responses/{ID}").targets) == set(IDS[:2])


def test_the_proxys_subset_holds() -> None:
    made = picker()
    create(made)

    assert send(made, "GET", f"/v1/responses/{ID}", subset=(IDS[0],)).targets == (IDS[0],)


def test_a_server_that_is_avoided_still_has_what_it_keeps() -> None:
    made = picker()
    create(made)
    for number in range(6):
        made.scraped(POOL, IDS[2], ScrapeFault.REFUSED, 2.0 + number / 10)

    assert send(made, "GET", f"/v1/responses/{ID}").targets == (IDS[2],)


def test_the_least_recently_used_are_forgotten() -> None:
    made = picker()
    create(made)
    for number in range(STORED_LIMIT):
        made.apply(AnswerStored(POOL, IDS[0], f"resp_{number}"), 3.0)
    scrape(made, 3.0)

    assert len(send(made, "GET", f"/v1/responses/{ID}").targets) == 3
    assert send(made, "GET", f"/v1/responses/resp_{STORED_LIMIT - 1}").targets == (IDS[0],)


def test_a_chain_of_responses_that_name_each_other_is_one_session() -> None:
    made = picker()
    create(made)
    sessions = [_session(made)]
    for number in range(1, 4):
        body = {"model": "m", "input": "go on", "previous_response_id": ID if number == 1 else f"resp_{number - 1}"}
        pick = send(made, "POST", "/v1/responses", body)
        made.observe(final(pick, served=IDS[2], stored_id=f"resp_{number}"), 3.0 + number)
        sessions.append(_session(made))

    assert len({id_ for _, id_ in sessions}) == 1
    assert [source for source, _ in sessions] == ["opening", *3 * ["previous_response_id"]]


def test_a_response_that_nobody_knows_is_a_session_of_its_own() -> None:
    made = picker()
    send(made, "POST", "/v1/responses", {"model": "m", "input": "go on", "previous_response_id": "resp_unknown"})
    assert _session(made) == ("previous_response_id", "resp_unknown")


def _session(made: Picker) -> tuple[object, object]:
    (latest,) = made.decisions.latest(1)
    shown = latest["session"]
    assert isinstance(shown, dict)
    return shown["source"], shown["id"]
