"""The Endpoint Picker Protocol over ext_proc, with a picker that decides as the test wants, at once or later."""

import orjson
import pytest

from epp.domain import EndpointId, Outcome, Pick, PickId, PoolId, Reply, Request
from epp.transports.extproc.answers import subset_hint
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.route import Route, route_of
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
    Mutation,
)
from gateway.wire.errors import ErrorCode, Rejection
from tests.unit.epp.transports.extproc.talking import HEADERS, PICK, REQUEST, RESPONSE, Picker, conversation, submitted


@pytest.mark.parametrize(
    ("code", "lower_tiers", "goes_on"),
    [
        (ErrorCode.NO_READY_ENDPOINT, 1, True),
        (ErrorCode.NO_READY_ENDPOINT, 0, False),
        (ErrorCode.POOL_SATURATED, 1, True),
        (ErrorCode.INVALID_REQUEST, 1, False),
    ],
)
def test_a_request_that_a_lower_tier_can_serve_goes_on_without_a_pick(
    code: ErrorCode, lower_tiers: int, goes_on: bool
) -> None:
    picker = Picker(Rejection(503, code, "no"))
    talk = PickConversation(
        Route(PoolId("default/a"), lower_tiers=lower_tiers),
        picker,
        OpenStreams(picker, lambda: False),
        picker.pushed.extend,
        Modes(BodyMode.BUFFERED, BodyMode.NONE),
    )
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 1.0)
    (reply,) = talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 2.0)

    assert isinstance(reply, BodyReply) is goes_on
    assert isinstance(reply, ImmediateReply) is not goes_on


def test_a_pick_goes_into_header_and_metadata_with_one_value_and_its_id_beside() -> None:
    picker, talk, replies = submitted(PICK)
    destination = "10.0.0.1:80,[::1]:81"
    assert replies == [
        BodyReply(
            REQUEST,
            Mutation(
                (("x-gateway-destination-endpoint", destination), ("x-prefiller-host-port", "p:1")),
                metadata={"envoy.lb": {"x-gateway-destination-endpoint": destination, "x-pointsman-pick-id": "r-1"}},
            ),
        )
    ]
    assert picker.requests == [Request(PoolId("default/a"), "POST", "/v1/completions", HEADERS, b"{}", None)]
    assert not talk.is_finished
    assert talk.is_at_rest


def test_a_request_without_a_body_is_picked_in_the_headers_reply() -> None:
    talk = conversation(Picker(PICK))
    (reply,) = talk.receive(HeadersReceived(REQUEST, {":method": "GET", ":path": "/"}, end_of_stream=True), 0.0)
    assert isinstance(reply, HeadersReply)
    assert reply.mutation.metadata["envoy.lb"]["x-pointsman-pick-id"] == "r-1"


def test_control_headers_that_no_client_may_send_are_removed_and_harmless_ones_stay() -> None:
    sent = {
        **HEADERS, "x-gateway-destination-endpoint": "evil:1", "x-gateway-destination-endpoint-subset": "evil:1",
        "x-gateway-inference-pool": "other/pool", "x-gateway-inference-objective": "food", "x-gateway-model-name": "m",
        "x-gateway-inference-fairness-id": "me", "x-gateway-model-name-rewrite": "n",
    }  # fmt: skip
    _, _, (reply,) = submitted(PICK, headers=sent)
    assert set(reply.mutation.remove_headers) == {"x-gateway-destination-endpoint-subset", "x-gateway-inference-pool"}
    assert dict(reply.mutation.set_headers)["x-gateway-destination-endpoint"] == "10.0.0.1:80,[::1]:81"


@pytest.mark.parametrize(
    "name",
    ["x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port", "x-kv-cache-source-host-port"],
)
def test_no_client_says_to_whom_a_model_server_turns(name: str) -> None:
    plain = Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),))
    _, _, (reply,) = submitted(plain, headers={**HEADERS, name: "evil:1"})
    assert reply.mutation.remove_headers == (name,)


def test_the_prefill_endpoint_replaces_what_the_client_sent() -> None:
    _, _, (reply,) = submitted(PICK, headers={**HEADERS, "x-prefiller-host-port": "evil:1"})
    assert reply.mutation.remove_headers == ()
    assert dict(reply.mutation.set_headers)["x-prefiller-host-port"] == "p:1"


def test_a_rewritten_body_goes_on_with_its_length() -> None:
    _, _, (reply,) = submitted(Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),), body=b"rewritten"))
    assert reply.body == b"rewritten"
    assert dict(reply.mutation.set_headers)["content-length"] == "9"


def test_a_rejection_is_an_openai_error_and_ends_the_conversation() -> None:
    rejection = Rejection(429, ErrorCode.POOL_SATURATED, "busy", retry_after=1.5)
    picker, talk, (reply,) = submitted(rejection)
    assert isinstance(reply, ImmediateReply)
    assert (reply.status, reply.details) == (429, "pool_saturated")
    assert reply.headers == (("content-type", "application/json"), ("retry-after", "2"))
    assert orjson.loads(reply.body)["error"] == {
        "message": "busy",
        "type": "rate_limit_error",
        "param": None,
        "code": "pool_saturated",
    }
    assert talk.is_finished
    talk.close(3.0)
    assert picker.events == []


def test_the_model_list_is_answered_by_the_picker_itself() -> None:
    _, talk, (reply,) = submitted(Reply(b'{"data":[]}'))
    assert reply == ImmediateReply(200, (("content-type", "application/json"),), b'{"data":[]}')
    assert talk.is_finished


def test_the_end_of_the_stream_settles_the_pick_once_and_at_that_time() -> None:
    picker, talk, _ = submitted(PICK)
    talk.close(7.5)
    assert picker.events == [("r-1", Outcome.ENDED, 7.5)]


def test_a_stream_is_open_from_its_pick_to_its_end() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, streams=streams)
    assert not streams.picks
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    assert streams.picks == {"r-1"}
    talk.close(9.0)
    assert not streams.picks


def test_a_pick_that_the_proxy_never_heard_of_is_unused() -> None:
    picker, talk, _ = submitted(PICK)
    talk.close(7.5, is_cut=True)
    assert picker.events == [("r-1", Outcome.UNUSED, 7.5)]


def test_a_stream_cut_in_the_response_has_used_its_pick() -> None:
    picker = Picker(PICK)
    talk = conversation(picker, response=BodyMode.STREAMED, logged=True)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    talk.receive(HeadersReceived(RESPONSE, {":status": "200"}, end_of_stream=False), 2.0)
    talk.close(7.5, is_cut=True)
    assert picker.events == [("r-1", Outcome.ENDED, 7.5)]


def test_a_stream_that_broke_before_the_pick_settles_nothing() -> None:
    picker = Picker(PICK)
    talk = conversation(picker)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0)
    talk.close(1.0)
    assert picker.events == []


def test_half_a_body_is_picked_without_it() -> None:
    picker = Picker(PICK)
    talk = conversation(picker, BodyMode.BUFFERED_PARTIAL)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0)
    talk.receive(BodyReceived(REQUEST, b'{"model', end_of_stream=False), 0.0)
    assert picker.requests[0].body == b""


def test_full_duplex_sends_headers_then_the_body() -> None:
    talk = conversation(Picker(PICK), BodyMode.FULL_DUPLEX_STREAMED)
    assert talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0) == []
    first, second = talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 0.0)
    assert isinstance(first, HeadersReply)
    assert second == ChunkReply(REQUEST, b"{}", end_of_stream=True)


SUBSET = "x-gateway-destination-endpoint-subset"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (("a:1", " b:2 "), ("a:1", "b:2")),
        ("a:1, b:2,", ("a:1", "b:2")),
        ((), ()),
        ("", ()),
        ((1.0, None), ()),
        (None, ()),
    ],
)
def test_the_subset_is_a_list_or_a_comma_list_and_present_but_empty_allows_nobody(
    value: object, expected: tuple[str, ...]
) -> None:
    assert subset_hint({"envoy.lb.subset_hint": {SUBSET: value}}) == expected


@pytest.mark.parametrize("metadata", [{}, {"envoy.lb.subset_hint": {}}, {"envoy.lb": {SUBSET: "a:1"}}])
def test_without_its_key_there_is_no_subset(metadata: Metadata) -> None:
    assert subset_hint(metadata) is None


POOL = "x-gateway-inference-pool"


@pytest.mark.parametrize(("sent", "pool"), [({POOL: " default/a "}, "default/a"), ({POOL: ""}, None), ({}, None)])
def test_the_pool_is_what_the_route_named(sent: dict[str, str], pool: str | None) -> None:
    assert route_of(sent).pool == pool


@pytest.mark.parametrize(
    ("sent", "fallbacks"), [("3", 3), ("99", 8), ("-1", 0), ("²", 0), ("1" * 5000, 0), ("", 0), ("two", 0)]
)
def test_fallbacks_are_a_small_number_or_none(sent: str, fallbacks: int) -> None:
    assert route_of({"x-gateway-fallback-endpoints": sent}).fallbacks == fallbacks
