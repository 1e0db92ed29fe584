"""What happens to answers that pass through the picker, however their bytes are cut."""

import itertools
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.domain import EndpointId, Feedback, Outcome, Pick, PickId, PoolId, Request, Ticket, Verdict, Waiter
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.rewriting import LARGEST_EVENT, AnswerRewriting, ModelNames, with_usage_option
from epp.transports.extproc.streams import OpenStreams
from epp.transports.route import Route
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    ChunkReply,
    Direction,
    HeadersReceived,
    HeadersReply,
    Modes,
    TrailersReceived,
    TrailersReply,
)

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
STREAM = "text/event-stream; charset=utf-8"
USAGE = b'data: {"id":"1","model":"real","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
EVENTS = (
    b'data: {"id":"1","model":"real","choices":[{"delta":{"content":"a \\"model\\":\\"real\\" b"}}]}\n\n'
    b'data: {"id":"1","model": "real","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    + USAGE
    + b"data: [DONE]\n\n"
)
SHOWN = (
    b'data: {"id":"1","model":"mine","choices":[{"delta":{"content":"a \\"model\\":\\"real\\" b"}}]}\n\n'
    b'data: {"id":"1","model": "mine","choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def rewriting(content_type: str = STREAM, encoding: str = "", *, hides_usage: bool = True) -> AnswerRewriting:
    made = AnswerRewriting(ModelNames("real", "mine"), hides_usage=hides_usage)
    made.begin(content_type, encoding)
    return made


def through(made: AnswerRewriting, chunks: Sequence[bytes]) -> bytes:
    shown = [made.receive(chunk, is_last=False) for chunk in chunks]
    return b"".join([*shown, made.receive(b"", is_last=True)])


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 10_000), max_size=30))
def test_events_are_the_same_however_they_are_cut(places: list[int]) -> None:
    assert through(rewriting(), cut(EVENTS, places)) == SHOWN


@given(st.lists(st.integers(0, 10_000), max_size=30))
def test_json_is_the_same_however_it_is_cut(places: list[int]) -> None:
    body = b'{"model" : "real", "text": "\\"model\\": \\"real\\"", "n": {"model":"other"}, "m": ["model", "real"]}'
    shown = body.replace(b'"model" : "real"', b'"model" : "mine"')
    assert through(rewriting("application/json"), cut(body, places)) == shown


def test_an_event_that_is_whole_goes_on_at_once() -> None:
    made = rewriting()
    first, _, rest = SHOWN.partition(b"\n\n")
    assert made.receive(EVENTS[: EVENTS.index(b"\n\n") + 2], is_last=False) == first + b"\n\n"
    assert rest


def test_a_name_beyond_ascii_is_found_in_either_spelling() -> None:
    for spelling in ('{"model":"gr\u00f6\u00dfer"}'.encode(), b'{"model":"gr\\u00f6\\u00dfer"}'):
        made = AnswerRewriting(ModelNames("größer", "a"), hides_usage=False)
        made.begin("application/json", "")
        assert made.receive(spelling, is_last=True) == b'{"model":"a"}'


def test_a_compressed_answer_passes_as_it_is() -> None:
    made = AnswerRewriting(ModelNames("real", "mine"), hides_usage=True)
    assert not made.begin(STREAM, "gzip")
    assert made.receive(EVENTS, is_last=True) == EVENTS


def test_usage_that_the_client_asked_for_stays() -> None:
    assert through(rewriting(hides_usage=False), [EVENTS]).count(b'"usage"') == 1


@pytest.mark.parametrize("content_type", ["application/json", ""])
def test_only_streams_lose_their_usage(content_type: str) -> None:
    body = b'{"choices":[],"usage":{}}'
    assert through(rewriting(content_type), [body]) == body


def test_an_event_without_end_is_not_held_for_ever() -> None:
    made = rewriting()
    endless = b"data: " + b"x" * (LARGEST_EVENT + 1)
    assert made.receive(endless, is_last=False) == endless


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_other_bytes_pass_unchanged(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    if b'"model"' not in whole and b'"usage"' not in whole:
        assert through(rewriting(), chunks) == whole


@pytest.mark.parametrize(
    ("path", "body", "asks"),
    [
        ("/v1/chat/completions", b'{"stream": true, "model": "m"}', True),
        ("/v1/completions?x=1", b' {"model":"m","stream":true}', True),
        ("/v1/chat/completions", b'{"stream":false}', False),
        ("/v1/chat/completions", b'{"stream":true,"stream_options":{"include_usage":false}}', False),
        ("/v1/messages", b'{"stream":true}', False),
        ("/v1/chat/completions", b"", False),
        ("/v1/chat/completions", b'{"prompt":"\\"stream\\": true"}', False),
    ],
)
def test_usage_is_asked_for_where_a_stream_would_have_none(path: str, body: bytes, asks: bool) -> None:
    asked = with_usage_option(path, body)
    assert (asked is not None) is asks
    if asked is not None:
        assert orjson.loads(asked) == {**orjson.loads(body), "stream_options": {"include_usage": True}}


class Picker:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.feedbacks: list[Feedback] = []

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict:
        self.requests.append(request)
        body = request.body.replace(b'"mine"', b'"real"')
        return Pick(
            PickId("r"), PoolId("p"), (EndpointId("10.0.0.1:80"),), body=body, model="mine", served_model="real"
        )

    def cancel(self, ticket: Ticket, now: float) -> None: ...

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None: ...

    def observe(self, feedback: Feedback, now: float) -> None:
        self.feedbacks.append(feedback)


@pytest.mark.parametrize("is_logged", [False, True])
@pytest.mark.parametrize("ends_in_trailers", [False, True])
def test_a_streamed_answer_is_accounted_for_and_looks_as_the_client_expects(
    is_logged: bool, ends_in_trailers: bool
) -> None:
    picker = Picker()
    streams = OpenStreams(picker, lambda: is_logged)
    modes = Modes(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.FULL_DUPLEX_STREAMED)
    talk = PickConversation(Route(PoolId("p")), picker, streams, lambda _replies: None, modes)
    headers = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json"}
    talk.receive(HeadersReceived(REQUEST, headers, end_of_stream=False), 0.0)
    head, chunk = talk.receive(BodyReceived(REQUEST, b'{"model":"mine","stream":true}', end_of_stream=True), 0.0)
    assert isinstance(head, HeadersReply)
    assert isinstance(chunk, ChunkReply)
    assert orjson.loads(chunk.data)["model"] == "real"
    assert (b"include_usage" in chunk.data) is not is_logged
    assert dict(head.mutation.set_headers)["content-length"] == str(len(chunk.data))

    (answer,) = talk.receive(HeadersReceived(RESPONSE, {":status": "200", "content-type": STREAM}, False), 1.0)
    assert isinstance(answer, HeadersReply)
    assert answer.mutation.remove_headers == ("content-length",)
    replies = [*talk.receive(BodyReceived(RESPONSE, EVENTS[:50], end_of_stream=False), 1.0)]
    replies += talk.receive(BodyReceived(RESPONSE, EVENTS[50:], end_of_stream=not ends_in_trailers), 1.0)
    if ends_in_trailers:
        replies += talk.receive(TrailersReceived(RESPONSE), 1.0)
        assert isinstance(replies.pop(), TrailersReply)
    shown = b"".join(reply.data for reply in replies if isinstance(reply, ChunkReply))
    assert shown == (SHOWN if not is_logged else EVENTS.replace(b'"model":"real","c', b'"model":"mine","c').replace(
        b'"model": "real"', b'"model": "mine"'))  # fmt: skip
    talk.close(2.0)
    if not is_logged:
        streams.report(1e6)
        (feedback,) = picker.feedbacks
        assert (feedback.prompt_tokens, feedback.completion_tokens) == (7, 2)
