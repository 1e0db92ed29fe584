"""One request and its response, in every body mode."""

import orjson
import pytest

from gateway.extproc.protocol.exchange import (
    CHUNK_BYTES,
    Decide,
    Exchange,
    Proceed,
    ProtocolViolation,
    Step,
)
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Modes,
    Mutation,
    TrailersReceived,
    TrailersReply,
    refuse,
)
from gateway.wire.errors import ErrorCode, Rejection

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
CHANGE = Mutation(set_headers=(("a", "b"),), metadata={"ns": {"k": "v"}})
HEADERS = {":method": "POST"}


def modes(request: BodyMode, response: BodyMode = BodyMode.NONE, *, early: bool = False) -> Modes:
    return Modes(request, response, early)


def start(
    mode: BodyMode, *, early: bool = False, end: bool = False, body_limit: int = 1000
) -> tuple[Exchange, list[Step]]:
    exchange = Exchange(modes(mode, early=early), body_limit)
    return exchange, exchange.receive(HeadersReceived(REQUEST, HEADERS, end))


def body(data: bytes, *, end: bool = True, direction: Direction = REQUEST) -> BodyReceived:
    return BodyReceived(direction, data, end)


@pytest.mark.parametrize("mode", BodyMode)
def test_a_request_without_a_body_is_decided_in_the_headers_reply(mode: BodyMode) -> None:
    exchange, steps = start(mode, end=True)
    assert steps == [Decide(HEADERS, b"", {})]
    assert exchange.decided(Proceed(CHANGE)) == [HeadersReply(REQUEST, CHANGE)]
    assert exchange.request_is_over


def test_mode_none_decides_from_headers_alone() -> None:
    exchange, steps = start(BodyMode.NONE)
    assert steps == [Decide(HEADERS, b"", {})]
    assert exchange.decided(Proceed(CHANGE)) == [HeadersReply(REQUEST, CHANGE)]


def test_buffered_answers_headers_at_once_and_puts_the_change_into_the_body_reply_without_an_echo() -> None:
    exchange, steps = start(BodyMode.BUFFERED)
    assert steps == [HeadersReply(REQUEST)]
    assert exchange.receive(body(b"{}")) == [Decide(HEADERS, b"{}", {})]
    assert exchange.decided(Proceed(CHANGE)) == [BodyReply(REQUEST, CHANGE, None)]
    assert exchange.request_is_over


def test_a_buffered_body_that_ends_in_trailers_is_decided_without_waiting_for_them() -> None:
    exchange, _ = start(BodyMode.BUFFERED)
    assert exchange.receive(body(b"{}", end=False)) == [Decide(HEADERS, b"{}", {})]
    exchange.decided(Proceed(CHANGE))
    assert exchange.receive(TrailersReceived(REQUEST)) == [TrailersReply(REQUEST)]


def test_trailers_that_come_before_the_decision_are_answered_after_it() -> None:
    exchange, _ = start(BodyMode.BUFFERED)
    exchange.receive(body(b"{}", end=False))
    assert exchange.receive(TrailersReceived(REQUEST)) == []
    assert exchange.decided(Proceed(CHANGE)) == [BodyReply(REQUEST, CHANGE), TrailersReply(REQUEST)]


def test_a_partial_body_says_so() -> None:
    exchange, _ = start(BodyMode.BUFFERED_PARTIAL)
    (step,) = exchange.receive(body(b'{"mod', end=False))
    assert isinstance(step, Decide)
    assert step.is_partial
    exchange, _ = start(BodyMode.BUFFERED_PARTIAL)
    (step,) = exchange.receive(body(b"{}"))
    assert isinstance(step, Decide)
    assert not step.is_partial


def test_a_new_body_brings_its_length() -> None:
    exchange, _ = start(BodyMode.BUFFERED)
    exchange.receive(body(b"{}"))
    (reply,) = exchange.decided(Proceed(CHANGE, b"longer"))
    assert reply == BodyReply(REQUEST, Mutation((("a", "b"), ("content-length", "6")), (), CHANGE.metadata), b"longer")


def test_full_duplex_holds_headers_and_echoes_the_body_in_chunks() -> None:
    exchange, steps = start(BodyMode.FULL_DUPLEX_STREAMED, body_limit=10**6)
    assert steps == []
    assert exchange.receive(body(b"x" * CHUNK_BYTES, end=False)) == []
    assert exchange.receive(body(b"y")) == [Decide(HEADERS, b"x" * CHUNK_BYTES + b"y", {})]
    assert exchange.decided(Proceed(CHANGE)) == [
        HeadersReply(REQUEST, CHANGE),
        ChunkReply(REQUEST, b"x" * CHUNK_BYTES, end_of_stream=False),
        ChunkReply(REQUEST, b"y", end_of_stream=True),
    ]


def test_full_duplex_with_an_empty_body_still_ends_it() -> None:
    exchange, _ = start(BodyMode.FULL_DUPLEX_STREAMED)
    exchange.receive(body(b""))
    assert exchange.decided(Proceed(CHANGE))[-1] == ChunkReply(REQUEST, b"", end_of_stream=True)


def test_full_duplex_ended_by_trailers_lets_the_trailers_end_it() -> None:
    exchange, _ = start(BodyMode.FULL_DUPLEX_STREAMED)
    exchange.receive(body(b"{}", end=False))
    assert exchange.receive(TrailersReceived(REQUEST)) == [Decide(HEADERS, b"{}", {})]
    assert exchange.decided(Proceed(CHANGE)) == [
        HeadersReply(REQUEST, CHANGE),
        ChunkReply(REQUEST, b"{}", end_of_stream=False),
        TrailersReply(REQUEST),
    ]
    assert exchange.request_is_over


def test_streamed_decides_without_the_body_which_the_proxy_keeps_until_the_headers_reply() -> None:
    exchange, steps = start(BodyMode.STREAMED)
    assert steps == [Decide(HEADERS, b"", {})]
    exchange.decided(Proceed(CHANGE))
    assert exchange.receive(body(b"a", end=False)) == [BodyReply(REQUEST)]
    assert not exchange.request_is_over
    assert exchange.receive(body(b"b")) == [BodyReply(REQUEST)]
    assert exchange.request_is_over


def test_streamed_with_an_early_body_holds_headers_and_answers_each_chunk_after_the_decision() -> None:
    exchange, steps = start(BodyMode.STREAMED, early=True)
    assert steps == []
    exchange.receive(body(b"{", end=False))
    assert exchange.receive(body(b"}")) == [Decide(HEADERS, b"{}", {})]
    assert exchange.decided(Proceed(CHANGE)) == [HeadersReply(REQUEST, CHANGE), BodyReply(REQUEST), BodyReply(REQUEST)]


def test_streamed_with_an_early_body_replaces_it_whole() -> None:
    exchange, _ = start(BodyMode.STREAMED, early=True)
    exchange.receive(body(b"{", end=False))
    exchange.receive(body(b"}"))
    replies = exchange.decided(Proceed(CHANGE, b"new"))
    assert replies[1:] == [BodyReply(REQUEST, body=b"new"), BodyReply(REQUEST, body=b"")]


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL, BodyMode.FULL_DUPLEX_STREAMED])
def test_a_body_over_the_limit_is_413_in_the_shape_of_openai(mode: BodyMode) -> None:
    exchange, _ = start(mode, body_limit=10)
    exchange.receive(body(b"x" * 10, end=False)) if mode is BodyMode.FULL_DUPLEX_STREAMED else None
    (reply,) = exchange.receive(body(b"x" * 11))
    assert isinstance(reply, ImmediateReply)
    assert (reply.status, reply.headers) == (413, (("content-type", "application/json"),))
    assert orjson.loads(reply.body)["error"]["code"] == "request_too_large"
    assert exchange.is_closed
    assert exchange.receive(body(b"more")) == []


def test_an_immediate_reply_closes_the_exchange() -> None:
    exchange, _ = start(BodyMode.BUFFERED)
    exchange.receive(body(b"{}"))
    refusal = refuse(Rejection(429, ErrorCode.RATE_LIMITED, "later", retry_after=0.2))
    assert exchange.decided(refusal) == [refusal]
    assert refusal.headers == (("content-type", "application/json"), ("retry-after", "1"))
    assert exchange.is_closed


def test_the_answer_passes_unchanged_and_its_headers_carry_the_decision() -> None:
    exchange, _ = start(BodyMode.BUFFERED)
    exchange.receive(body(b"{}"))
    change = Mutation((("x-pointsman-explain", "yes"),))
    exchange.decided(Proceed(CHANGE, response=change))
    assert exchange.receive(HeadersReceived(RESPONSE, {":status": "200"}, end_of_stream=False)) == [
        HeadersReply(RESPONSE, change)
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (BodyMode.FULL_DUPLEX_STREAMED, ChunkReply(RESPONSE, b"data", end_of_stream=False)),
        (BodyMode.STREAMED, BodyReply(RESPONSE)),
        (BodyMode.BUFFERED, BodyReply(RESPONSE)),
    ],
)
def test_response_chunks_are_answered_as_they_come(mode: BodyMode, expected: object) -> None:
    exchange = Exchange(modes(BodyMode.NONE, mode))
    exchange.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True))
    exchange.decided(Proceed(CHANGE))
    exchange.receive(HeadersReceived(RESPONSE, {}, end_of_stream=False))
    assert exchange.receive(body(b"data", end=False, direction=RESPONSE)) == [expected]
    assert exchange.receive(TrailersReceived(RESPONSE)) == [TrailersReply(RESPONSE)]


def test_a_large_response_chunk_goes_on_in_pieces_that_end_once() -> None:
    exchange = Exchange(modes(BodyMode.NONE, BodyMode.FULL_DUPLEX_STREAMED))
    exchange.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True))
    exchange.decided(Proceed(CHANGE))
    data = bytes(CHUNK_BYTES) + b"tail"
    assert exchange.receive(body(data, direction=RESPONSE)) == [
        ChunkReply(RESPONSE, bytes(CHUNK_BYTES), end_of_stream=False),
        ChunkReply(RESPONSE, b"tail", end_of_stream=True),
    ]


def test_an_answer_before_the_request_is_complete_is_let_through() -> None:
    exchange, _ = start(BodyMode.FULL_DUPLEX_STREAMED)
    assert exchange.receive(HeadersReceived(RESPONSE, {}, end_of_stream=True)) == [HeadersReply(RESPONSE)]


def test_the_proxys_own_description_counts_over_what_was_assumed() -> None:
    exchange = Exchange(modes(BodyMode.FULL_DUPLEX_STREAMED))
    steps = exchange.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False, modes=modes(BodyMode.BUFFERED)))
    assert steps == [HeadersReply(REQUEST)]


def test_a_proxy_that_only_observes_is_never_answered() -> None:
    exchange = Exchange()
    assert exchange.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True, observe_only=True)) == []
    assert exchange.receive(HeadersReceived(RESPONSE, {}, end_of_stream=True)) == []
    assert exchange.is_at_rest


def test_an_exchange_is_at_rest_only_when_it_owes_nothing_and_carries_no_body() -> None:
    exchange = Exchange(modes(BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED))
    assert not exchange.is_at_rest
    exchange.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False))
    exchange.receive(body(b"{}"))
    assert not exchange.is_at_rest
    exchange.decided(Proceed(CHANGE))
    assert exchange.is_at_rest
    exchange.receive(HeadersReceived(RESPONSE, {}, end_of_stream=False))
    assert not exchange.is_at_rest
    exchange.receive(body(b"", direction=RESPONSE))
    assert exchange.is_at_rest


@pytest.mark.parametrize(
    "events",
    [
        [body(b"{}")],
        [TrailersReceived(REQUEST)],
        [HeadersReceived(REQUEST, HEADERS, False), HeadersReceived(REQUEST, HEADERS, False)],
        [HeadersReceived(REQUEST, HEADERS, True), body(b"{}")],
        [HeadersReceived(REQUEST, HEADERS, False), body(b"{}"), body(b"{}")],
        [
            HeadersReceived(REQUEST, HEADERS, False),
            body(b"", end=False),
            TrailersReceived(REQUEST),
            TrailersReceived(REQUEST),
        ],
        [HeadersReceived(RESPONSE, {}, False), HeadersReceived(RESPONSE, {}, False)],
        [HeadersReceived(RESPONSE, {}, True), body(b"", direction=RESPONSE)],
        [TrailersReceived(RESPONSE), TrailersReceived(RESPONSE)],
    ],
)
def test_an_order_that_no_proxy_may_send_is_a_violation(events: list[Event]) -> None:
    exchange = Exchange(modes(BodyMode.FULL_DUPLEX_STREAMED))
    *before, last = events
    for event in before:
        exchange.receive(event)
    with pytest.raises(ProtocolViolation, match="arrived"):
        exchange.receive(last)


def test_a_decision_that_nobody_asked_for_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="IDLE"):
        Exchange().decided(Proceed(CHANGE))


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL])
def test_trailers_without_a_body_are_refused_where_no_reply_could_carry_the_decision(mode: BodyMode) -> None:
    exchange, steps = start(mode)
    assert steps == [HeadersReply(REQUEST)]

    (reply,) = exchange.receive(TrailersReceived(REQUEST))

    assert isinstance(reply, ImmediateReply)
    assert reply.status == 400
    assert exchange.is_closed


class Begun:
    """A watch that has enough with the first bytes."""

    def receive(self, data: bytes) -> bool:
        return bool(data)


def watched(headers: dict[str, str], limit: int = 1000) -> Exchange:
    exchange = Exchange(modes(BodyMode.FULL_DUPLEX_STREAMED), limit, lambda _: Begun())
    exchange.receive(HeadersReceived(REQUEST, headers, False))
    assert exchange.receive(body(b"abc", end=False)) == [Decide(headers, b"abc", {}, is_begun=True)]
    return exchange


def test_a_beginning_that_is_written_anew_changes_the_length_of_the_whole() -> None:
    exchange = watched({"content-length": "10"})
    first, chunk = exchange.decided(Proceed(CHANGE, b"a"))
    assert isinstance(first, HeadersReply)
    assert ("content-length", "8") in first.mutation.set_headers
    assert chunk == ChunkReply(REQUEST, b"a", end_of_stream=False)
    assert exchange.receive(body(b"defghij")) == [ChunkReply(REQUEST, b"defghij", end_of_stream=True)]


def test_what_comes_while_a_beginning_is_decided_about_is_bounded() -> None:
    exchange = watched({}, limit=5)
    exchange.wait()
    (refusal,) = exchange.receive(body(b"defg", end=False))
    assert isinstance(refusal, ImmediateReply)
    assert refusal.status == 413
    assert exchange.is_closed


def test_the_rest_of_a_begun_body_has_no_limit() -> None:
    exchange = watched({}, limit=5)
    exchange.decided(Proceed(CHANGE))
    for _ in range(10):
        assert exchange.receive(body(b"defg", end=False)) == [ChunkReply(REQUEST, b"defg", end_of_stream=False)]
