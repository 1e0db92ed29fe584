"""Protobuf on the wire to plain values and back, checked with the generated classes themselves."""

import pytest

from gateway import protos
from gateway.extproc.codec import KNOWN_REPLIES, KNOWN_REPLY_BYTES, Codec, UnknownMessageError
from gateway.extproc.protocol.messages import (
    NO_MUTATION,
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Modes,
    MoreTime,
    Mutation,
    TrailersReceived,
    TrailersReply,
)

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
POOL = protos.load_pool()
ProcessingRequest = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
ProcessingResponse = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingResponse")
CODEC = Codec()


def encoded(reply):
    return ProcessingResponse.FromString(CODEC.encode(reply))


def test_headers_are_read_from_value_and_raw_value_and_repeated_ones_are_joined() -> None:
    message = ProcessingRequest()
    for key, value, raw in [("a", "1", b""), ("b", "", b"2\xff"), ("a", "", b"3")]:
        message.request_headers.headers.headers.add(key=key, value=value, raw_value=raw)
    message.request_headers.end_of_stream = True
    event = CODEC.decode(message.SerializeToString())
    assert event == HeadersReceived(REQUEST, {"a": "1,3", "b": "2\xff"}, True, {}, None, False)


def test_metadata_and_modes_and_observation_are_read() -> None:
    message = ProcessingRequest(observability_mode=True)
    message.request_headers.SetInParent()
    fields = message.metadata_context.filter_metadata["envoy.lb.subset_hint"].fields
    for item in ("10.0.0.1:80", "10.0.0.2:80"):
        fields["subset"].list_value.values.add(string_value=item)
    fields["text"].string_value, fields["number"].number_value, fields["flag"].bool_value = "x", 1.5, True
    fields["inner"].struct_value.fields["k"].null_value = 0
    message.protocol_config.request_body_mode, message.protocol_config.response_body_mode = 2, 4
    message.protocol_config.send_body_without_waiting_for_header_response = True
    event = CODEC.decode(message.SerializeToString())
    assert isinstance(event, HeadersReceived)
    assert event.metadata == {
        "envoy.lb.subset_hint": {
            "subset": ("10.0.0.1:80", "10.0.0.2:80"), "text": "x", "number": 1.5, "flag": True, "inner": {"k": None},
        }
    }  # fmt: skip
    assert event.modes == Modes(BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, True)
    assert event.observe_only


@pytest.mark.parametrize(
    ("field", "event"),
    [
        ("request_body", BodyReceived(REQUEST, b"data", True)),
        ("response_body", BodyReceived(RESPONSE, b"data", True)),
        ("request_trailers", TrailersReceived(REQUEST)),
        ("response_trailers", TrailersReceived(RESPONSE)),
    ],
)
def test_bodies_and_trailers_are_read(field: str, event: object) -> None:
    message = ProcessingRequest()
    part = getattr(message, field)
    part.SetInParent()
    if field.endswith("body"):
        part.body, part.end_of_stream = b"data", True
    assert CODEC.decode(message.SerializeToString()) == event


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"\x0a\x00"])
def test_what_is_no_known_message_is_an_error(data: bytes) -> None:
    with pytest.raises(UnknownMessageError):
        CODEC.decode(data)


def test_a_body_mode_of_the_future_is_an_error_that_names_it() -> None:
    message = ProcessingRequest()
    message.request_headers.SetInParent()
    message.protocol_config.request_body_mode = 5
    with pytest.raises(UnknownMessageError, match="5"):
        CODEC.decode(message.SerializeToString())


@pytest.mark.parametrize(
    ("reply", "field"),
    [
        (HeadersReply(REQUEST), "request_headers"),
        (HeadersReply(RESPONSE), "response_headers"),
        (BodyReply(REQUEST), "request_body"),
        (BodyReply(RESPONSE), "response_body"),
        (TrailersReply(REQUEST), "request_trailers"),
        (TrailersReply(RESPONSE), "response_trailers"),
    ],
)
def test_empty_replies_are_of_their_kind_and_change_nothing(reply, field: str) -> None:
    message = encoded(reply)
    assert message.WhichOneof("response") == field
    assert not getattr(message, field).ListFields()


@pytest.mark.parametrize("kind", [HeadersReply, BodyReply])
def test_a_mutation_overwrites_headers_with_raw_values_and_writes_metadata(kind) -> None:
    mutation = Mutation((("x", "wért"),), ("y",), {"envoy.lb": {"k": "v"}}, clear_route_cache=True)
    message = encoded(kind(REQUEST, mutation))
    common = getattr(message, message.WhichOneof("response")).response
    (option,) = common.header_mutation.set_headers
    assert (option.header.key, option.header.raw_value, option.header.value) == ("x", "wért".encode(), "")
    assert option.append_action == 2
    assert list(common.header_mutation.remove_headers) == ["y"]
    assert common.clear_route_cache
    assert not common.HasField("body_mutation")
    assert message.dynamic_metadata.fields["envoy.lb"].struct_value.fields["k"].string_value == "v"


def test_a_new_body_replaces_and_an_empty_one_clears() -> None:
    assert encoded(BodyReply(REQUEST, body=b"new")).request_body.response.body_mutation.body == b"new"
    assert encoded(BodyReply(REQUEST, body=b"")).request_body.response.body_mutation.clear_body


@pytest.mark.parametrize("direction", Direction)
def test_a_chunk_is_a_streamed_response(direction: Direction) -> None:
    message = encoded(ChunkReply(direction, b"data", end_of_stream=True))
    part = getattr(message, f"{direction.value}_body")
    streamed = part.response.body_mutation.streamed_response
    assert (streamed.body, streamed.end_of_stream) == (b"data", True)


def test_an_empty_chunk_is_still_a_streamed_response() -> None:
    message = encoded(ChunkReply(REQUEST, b"", end_of_stream=False))
    assert message.request_body.response.body_mutation.HasField("streamed_response")


def test_an_immediate_reply_carries_status_headers_body_and_details() -> None:
    message = encoded(ImmediateReply(429, (("content-type", "application/json"),), b"{}", "busy")).immediate_response
    assert (message.status.code, message.body, message.details) == (429, b"{}", "busy")
    assert message.headers.set_headers[0].header.raw_value == b"application/json"


@pytest.mark.parametrize(("seconds", "whole", "nanos"), [(10, 10, 0), (0.25, 0, 250_000_000)])
def test_more_time_is_a_reply_of_its_own(seconds: float, whole: int, nanos: int) -> None:
    message = encoded(MoreTime(seconds))
    timeout = message.override_message_timeout
    assert (timeout.seconds, timeout.nanos, message.WhichOneof("response")) == (whole, nanos, None)


@pytest.mark.parametrize("mutation", [NO_MUTATION, Mutation((("x-a", "b"),))])
def test_a_proxy_is_asked_for_no_body_of_the_answer_by_an_empty_processing_mode(mutation: Mutation) -> None:
    reply = encoded(HeadersReply(Direction.RESPONSE, mutation, BodyMode.NONE))
    usual = encoded(HeadersReply(Direction.RESPONSE, mutation))

    assert reply.HasField("mode_override")
    assert reply.mode_override.response_body_mode == 0
    assert not usual.HasField("mode_override")


def test_replies_that_differ_are_never_taken_for_each_other_however_many_there_are() -> None:
    for number in [*range(2 * KNOWN_REPLIES), *range(2 * KNOWN_REPLIES)]:
        mutation = Mutation((("x-model", f"m{number}"),), ("x-old",) * (number % 2), clear_route_cache=number % 3 == 0)
        response = encoded(BodyReply(REQUEST, mutation)).request_body.response
        assert response.header_mutation.set_headers[0].header.raw_value == b"m%d" % number
        assert len(response.header_mutation.remove_headers) == number % 2
        assert response.clear_route_cache == (number % 3 == 0)


def test_a_reply_larger_than_is_kept_is_written_all_the_same() -> None:
    for _ in range(2):
        reply = encoded(BodyReply(REQUEST, Mutation((("x-large", "v" * KNOWN_REPLY_BYTES),))))
        assert len(reply.request_body.response.header_mutation.set_headers[0].header.raw_value) == KNOWN_REPLY_BYTES


def test_a_proxy_is_asked_for_the_body_of_a_request() -> None:
    reply = encoded(HeadersReply(Direction.REQUEST, body_mode=BodyMode.BUFFERED)).mode_override

    assert (reply.request_body_mode, reply.response_body_mode) == (BodyMode.BUFFERED.value, 0)
    assert reply.response_header_mode == 1
