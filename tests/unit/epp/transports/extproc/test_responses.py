"""What a response tells the picker where no access log does."""

import orjson
import pytest

from epp.domain import EndpointId, Feedback, Outcome, Pick, PickId, PoolId
from epp.transports.extproc.response import usage
from epp.transports.extproc.streams import GRACE_SECONDS, WAITING_LIMIT, OpenStreams
from epp.transports.servers.extproc import Picks
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    HeadersReceived,
    HeadersReply,
    Metadata,
    Mutation,
)
from tests.unit.epp.transports.extproc.talking import HEADERS, PICK, REQUEST, RESPONSE, Picker, conversation, respond


def test_behind_a_gateway_without_access_log_the_response_tells_how_it_went() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 1.0)
    talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 2.0)
    usage = (
        b'data: {"usage":{"prompt_tokens":7,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
    )
    respond(talk, b"data: {}\n\n", usage[:30], usage[30:], b"data: [DONE]\n\n")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    settled, feedback = picker.events
    assert feedback == Feedback(
        PickId("r-1"), PoolId("default/a"), is_final=True, served=EndpointId("[::1]:81"), status=200, ttft_seconds=2.0,
        duration_seconds=7.0, prompt_tokens=7, completion_tokens=10, cached_tokens=4,
    )  # fmt: skip
    assert settled == ("r-1", Outcome.ENDED, 9.0)


@pytest.mark.parametrize(
    "chunks",
    [
        [b'{"id":"resp_1","object":"response","status":"queued"}'],
        [
            b'event: response.created\ndata: {"type":"response.created","response":{"id":"re',
            b'sp_1"}}\n\n',
            b"data: {}\n\n",
        ],
    ],
)
def test_the_server_that_keeps_a_response_is_known_before_its_stream_ends(chunks: list[bytes]) -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, *chunks)

    (feedback,) = picker.events
    assert isinstance(feedback, Feedback)
    assert (feedback.is_final, feedback.served, feedback.stored_id) == (False, "[::1]:81", "resp_1")


@pytest.mark.parametrize(
    ("metadata", "reported"),
    [
        ({"envoy.lb": {"x-gateway-destination-endpoint-served": "[::1]:81"}}, "[::1]:81"),
        ({}, "fail: missing destination endpoint served metadata"),
    ],
)
def test_an_answer_names_the_endpoint_that_served_it_where_that_is_configured(
    metadata: Metadata, reported: str
) -> None:
    picker = Picker(PICK)
    picks = Picks(picker, OpenStreams(picker, lambda: False), lambda: 0.0, reports_served=True)
    talk = picks.opened({}, picker, picker.pushed.extend)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)

    (reply,) = talk.receive(HeadersReceived(RESPONSE, {":status": "200"}, end_of_stream=False, metadata=metadata), 2.0)

    assert isinstance(reply, HeadersReply)
    assert ("x-conformance-test-served-endpoint", reported) in reply.mutation.set_headers


def test_the_id_of_a_chat_is_nothing_to_keep() -> None:
    picker = Picker(PICK)
    talk = conversation(picker, BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b'{"id":"chatcmpl-1","choices":[]}')

    assert picker.events == []


@pytest.mark.parametrize(
    ("status", "served"), [("200", "10.0.0.1:80"), ("404", "10.0.0.1:80"), ("500", "10.0.0.1:80"), ("503", None)]
)
def test_a_gateway_that_does_not_say_who_served_is_taken_to_have_asked_the_first(
    status: str, served: str | None
) -> None:
    picker = Picker(Pick(PickId("r-1"), PoolId("default/a"), (EndpointId("10.0.0.1:80"), EndpointId("10.0.0.2:80"))))
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    talk.receive(HeadersReceived(RESPONSE, {":status": status}, end_of_stream=False), 2.0)
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    _, feedback = picker.events
    assert isinstance(feedback, Feedback)
    assert feedback.served == served


def test_counts_that_no_answer_has_are_none_of_a_response() -> None:
    assert usage(b'{"usage": {"prompt_tokens": 999999999, "completion_tokens": 0}}') == (999_999_999, 0, None)
    assert usage(b'{"usage": {"prompt_tokens": 1000000000, "completion_tokens": 9223372036854775807}}') == (None,) * 3


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}, (7, 3, 4)),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3, None)),
        ({"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 0}, (7, 3, 0)),
        (
            {"input_tokens": 2, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 32, "output_tokens": 3},
            (98, 3, 64),
        ),
        ({"prompt_tokens": 7, "completion_tokens": 3, "input_tokens": 0, "output_tokens": 0}, (7, 3, None)),
    ],
)
def test_usage_is_read_under_the_names_that_responses_and_messages_give_it_too(
    sent: dict[str, object], expected: tuple[int | None, ...]
) -> None:
    assert usage(orjson.dumps({"usage": sent})) == expected


def test_with_an_access_log_the_response_is_not_told_twice() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: True)
    talk = conversation(picker, response=BodyMode.STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b"{}")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    assert picker.events == [("r-1", Outcome.ENDED, 9.0)]


def test_the_response_waits_a_grace_for_an_access_log_that_opens_with_its_first_entry() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, response=BodyMode.STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b"{}")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS / 2)
    assert picker.events == [("r-1", Outcome.ENDED, 9.0)]
    for _ in range(2):
        streams.report(9.0 + GRACE_SECONDS)
        assert len(picker.events) == 2


def test_responses_that_wait_are_bounded_and_the_oldest_is_told_early() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    for _ in range(WAITING_LIMIT + 1):
        talk = conversation(picker, streams=streams)
        talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
        respond(talk)
        talk.close(9.0)
    assert sum(isinstance(event, Feedback) for event in picker.events) == 1


def test_an_explained_pick_puts_its_words_on_the_response() -> None:
    talk = conversation(Picker(Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),), explain=(("x-why", "most"),))))
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    assert respond(talk) == [HeadersReply(RESPONSE, Mutation((("x-why", "most"),)))]
