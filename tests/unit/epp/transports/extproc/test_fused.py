"""A pick whose body the router of the same process has read."""

from dataclasses import replace

import pytest

from epp.domain import Pick
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.fused import BODY_REQUEST, FusedConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.route import Route
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    Direction,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
)
from gateway.router.kept import KeptBodies
from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.protocol import KEPT_BODY, LB_NAMESPACE
from tests.unit.epp.transports.extproc.talking import HEADERS, PICK, Picker

REQUEST = Direction.REQUEST
BODY, DOCUMENT = b'{"model": "m"}', {"model": "m"}


def fused(picker: Picker, kept: KeptBodies) -> FusedConversation:
    streams = OpenStreams(picker, lambda: True)
    return FusedConversation(
        lambda requests, push: PickConversation(Route(), requests, streams, push), picker, kept, picker.pushed.extend
    )


def question(kept_id: str | None, mode: BodyMode = BodyMode.NONE) -> HeadersReceived:
    metadata: Metadata = {} if kept_id is None else {LB_NAMESPACE: {KEPT_BODY: kept_id}}
    return HeadersReceived(REQUEST, HEADERS, False, metadata, Modes(mode, BodyMode.NONE))


def test_a_body_that_was_read_is_neither_asked_for_nor_read_again() -> None:
    picker, kept = Picker(PICK), KeptBodies("a")
    (reply,) = fused(picker, kept).receive(question(kept.keep(BODY, DOCUMENT, 0.0)), 0.0)

    assert isinstance(reply, HeadersReply)
    assert reply.body_mode is None
    assert reply.mutation.set_headers[0] == ("x-gateway-destination-endpoint", PICK.destination)
    assert [(request.body, request.document) for request in picker.requests] == [(BODY, DOCUMENT)]


@pytest.mark.parametrize("kept_id", [None, "other-1"])
def test_a_body_that_is_not_known_is_asked_for(kept_id: str | None) -> None:
    picker = Picker(PICK)
    talk = fused(picker, KeptBodies("a"))

    assert talk.receive(question(kept_id), 0.0) == [BODY_REQUEST]
    (reply,) = talk.receive(BodyReceived(REQUEST, BODY, end_of_stream=True), 1.0)
    assert isinstance(reply, BodyReply)
    assert reply.mutation.set_headers
    assert [(request.body, request.document) for request in picker.requests] == [(BODY, None)]


def test_no_body_is_asked_for_where_none_ends() -> None:
    picker = Picker(PICK)
    offered = replace(question(None), headers={**HEADERS, ":method": "GET", "upgrade": "websocket"})

    (reply,) = fused(picker, KeptBodies("a")).receive(offered, 0.0)

    assert isinstance(reply, HeadersReply)
    assert reply.body_mode is None
    assert reply.mutation.set_headers[0] == ("x-gateway-destination-endpoint", PICK.destination)


def test_a_body_that_changes_is_asked_for_and_replaced() -> None:
    picker, kept = Picker(PICK._replace(body=b"new")), KeptBodies("a")
    talk = fused(picker, kept)

    assert talk.receive(question(kept.keep(BODY, DOCUMENT, 0.0)), 0.0) == [BODY_REQUEST]
    assert not talk.is_at_rest
    (reply,) = talk.receive(BodyReceived(REQUEST, BODY, end_of_stream=True), 1.0)
    assert isinstance(reply, BodyReply)
    assert reply.body == b"new"
    assert len(picker.requests) == 1


def test_a_late_verdict_answers_the_headers() -> None:
    picker, kept = Picker(None), KeptBodies("a")
    assert fused(picker, kept).receive(question(kept.keep(BODY, DOCUMENT, 0.0)), 0.0) == []

    picker.waiters[0].decide(PICK, 1.0)

    (reply,) = picker.pushed
    assert isinstance(reply, HeadersReply)
    assert reply.mutation.set_headers


def test_a_refusal_is_one() -> None:
    picker, kept = Picker(Rejection(429, ErrorCode.POOL_SATURATED, "full")), KeptBodies("a")
    talk = fused(picker, kept)
    (reply,) = talk.receive(question(kept.keep(BODY, DOCUMENT, 0.0)), 0.0)

    assert isinstance(reply, ImmediateReply)
    assert talk.is_finished


def test_a_proxy_that_sends_the_body_is_answered_as_everywhere() -> None:
    picker = Picker(PICK)
    talk = fused(picker, KeptBodies("a"))

    assert talk.receive(question(None, BodyMode.BUFFERED), 0.0) == [HeadersReply(REQUEST)]
    (reply,) = talk.receive(BodyReceived(REQUEST, BODY, end_of_stream=True), 1.0)
    assert isinstance(reply, BodyReply)


def test_the_end_settles_the_pick() -> None:
    picker, kept = Picker(PICK), KeptBodies("a")
    talk = fused(picker, kept)
    talk.close(0.0)
    talk.receive(question(kept.keep(BODY, DOCUMENT, 0.0)), 0.0)
    talk.close(1.0)

    assert isinstance(picker.verdict, Pick)
    assert [event[0] for event in picker.events if isinstance(event, tuple)] == [PICK.id]
