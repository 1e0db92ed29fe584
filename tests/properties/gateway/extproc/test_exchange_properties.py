"""Bodies arrive whole whatever their cuts, and no order of messages does worse than a violation."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.extproc.protocol.exchange import CHUNK_BYTES, Decide, Exchange, Proceed, ProtocolViolation, Step
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
)

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
CHANGE = Mutation((("a", "b"),))
pieces = st.lists(st.binary(max_size=3), min_size=1, max_size=8)
sizes = st.lists(st.integers(0, 3 * CHUNK_BYTES), min_size=1, max_size=4)


def stream(exchange: Exchange, chunks: list[bytes], *, trailers: bool) -> list[Step]:
    steps = exchange.receive(HeadersReceived(REQUEST, {}, end_of_stream=False))
    for number, chunk in enumerate(chunks):
        is_last = number == len(chunks) - 1 and not trailers
        steps += exchange.receive(BodyReceived(REQUEST, chunk, is_last))
    return steps + (exchange.receive(TrailersReceived(REQUEST)) if trailers else [])


@given(pieces, st.booleans(), st.sampled_from([BodyMode.FULL_DUPLEX_STREAMED, BodyMode.STREAMED]))
def test_the_decision_sees_the_same_body_however_it_was_cut(
    chunks: list[bytes], trailers: bool, mode: BodyMode
) -> None:
    exchange = Exchange(Modes(mode, BodyMode.NONE, body_comes_early=True))
    assert stream(exchange, chunks, trailers=trailers) == [Decide({}, b"".join(chunks), {})]


@given(sizes, st.booleans(), st.none() | st.integers(0, 2 * CHUNK_BYTES))
def test_in_full_duplex_all_of_the_body_goes_on_in_order_and_ends_once(
    lengths: list[int], trailers: bool, rewritten: int | None
) -> None:
    exchange = Exchange(Modes(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.NONE))
    chunks = [bytes([number + 1]) * length for number, length in enumerate(lengths)]
    stream(exchange, chunks, trailers=trailers)
    new = None if rewritten is None else b"r" * rewritten
    first, *rest = exchange.decided(Proceed(CHANGE, new))
    assert isinstance(first, HeadersReply)
    if trailers:
        assert rest.pop() == TrailersReply(REQUEST)
    sent = [reply for reply in rest if isinstance(reply, ChunkReply)]
    assert len(sent) == len(rest)
    assert all(len(reply.data) <= CHUNK_BYTES for reply in sent)
    assert b"".join(reply.data for reply in sent) == (b"".join(chunks) if new is None else new)
    assert [reply.end_of_stream for reply in sent] == [False] * (len(sent) - 1) + [not trailers]


class Enough:
    """A watch that has enough with the first zero byte."""

    def receive(self, data: bytes) -> bool:
        return b"\0" in data


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=8), st.booleans(), st.integers(0, 8))
def test_a_body_that_is_watched_goes_on_whole_whenever_the_decision_comes(
    chunks: list[bytes], trailers: bool, late: int
) -> None:
    """`late` is how many messages come between the question and its answer."""
    exchange = Exchange(Modes(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.NONE), watch_for=lambda _: Enough())
    received = [BodyReceived(REQUEST, chunk, not trailers and at == len(chunks) - 1) for at, chunk in enumerate(chunks)]
    replies: list[Step] = []
    questions: list[Decide] = []
    sent_first: list[Event] = [HeadersReceived(REQUEST, {}, False), *received]
    for event in [*sent_first, TrailersReceived(REQUEST)] if trailers else sent_first:
        if questions and not exchange.is_decided:
            late -= 1
            if late < 0:
                replies += exchange.decided(Proceed(CHANGE))
        for step in exchange.receive(event):
            if isinstance(step, Decide):
                questions.append(step)
            else:
                replies.append(step)
    if not exchange.is_decided:
        replies += exchange.decided(Proceed(CHANGE))

    (question,) = questions
    first, *rest = replies
    assert first == HeadersReply(REQUEST, CHANGE)
    assert b"".join(chunks).startswith(question.body)
    assert question.is_begun == any(b"\0" in chunk for chunk in (chunks if trailers else chunks[:-1]))
    if trailers:
        assert rest.pop() == TrailersReply(REQUEST)
    sent = [reply for reply in rest if isinstance(reply, ChunkReply)]
    assert len(sent) == len(rest)
    assert b"".join(reply.data for reply in sent) == b"".join(chunks)
    assert [reply.end_of_stream for reply in sent] == [False] * (len(sent) - 1) + [not trailers]
    assert exchange.request_is_over


@given(pieces)
def test_streamed_chunks_are_each_answered_once(chunks: list[bytes]) -> None:
    exchange = Exchange(Modes(BodyMode.STREAMED, BodyMode.NONE, body_comes_early=True))
    stream(exchange, chunks, trailers=False)
    replies = exchange.decided(Proceed(CHANGE))
    assert replies == [HeadersReply(REQUEST, CHANGE), *[BodyReply(REQUEST)] * len(chunks)]


directions = st.sampled_from(Direction)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(HeadersReceived, directions, st.just({}), st.booleans()),
    st.builds(BodyReceived, directions, st.binary(max_size=30), st.booleans()),
    st.builds(TrailersReceived, directions),
)
all_modes = st.builds(Modes, st.sampled_from(BodyMode), st.sampled_from(BodyMode), st.booleans())


@given(all_modes, st.lists(events, max_size=12), st.booleans())
def test_any_sequence_is_answered_or_refused_and_decided_at_most_once(
    modes: Modes, sequence: list[Event], refuses: bool
) -> None:
    exchange = Exchange(modes, body_limit=40)
    refusal = ImmediateReply(400, (), b"")
    decides = received = answered = 0
    for event in sequence:
        received += 1
        try:
            steps = exchange.receive(event)
        except ProtocolViolation:
            break
        for step in steps:
            if isinstance(step, Decide):
                decides += 1
                answered += len(exchange.decided(refusal if refuses else Proceed(CHANGE)))
            else:
                answered += 1
    assert decides <= 1
    chunked = BodyMode.FULL_DUPLEX_STREAMED in (modes.request_body, modes.response_body)
    assert answered <= received + chunked * 2
    assert not exchange.request_is_over or exchange.is_decided


requests: st.SearchStrategy[Event] = st.one_of(
    st.builds(HeadersReceived, st.just(REQUEST), st.just({}), st.booleans()),
    st.builds(BodyReceived, st.just(REQUEST), st.binary(max_size=30), st.booleans()),
    st.builds(TrailersReceived, st.just(REQUEST)),
)


def answered(modes: Modes, sequence: list[Event], decision: Proceed, *, late: bool) -> list[Step]:
    """All replies to a request; a late decision comes after everything that the proxy sends."""
    exchange, replies = Exchange(modes), list[Step]()
    for event in sequence:
        try:
            steps = exchange.receive(event)
        except ProtocolViolation:
            break
        for step in steps:
            if not isinstance(step, Decide):
                replies.append(step)
            else:
                replies += exchange.wait() if late else exchange.decided(decision)
    return replies + (exchange.decided(decision) if exchange.is_waiting else [])


@given(all_modes, st.lists(requests, max_size=6), st.none() | st.binary(max_size=9))
def test_a_request_that_waits_gets_the_replies_of_one_that_does_not(
    modes: Modes, sequence: list[Event], body: bytes | None
) -> None:
    decision = Proceed(CHANGE, body)
    ends = [at for at, event in enumerate(sequence) if isinstance(event, BodyReceived) and event.end_of_stream]
    started = [HeadersReceived(REQUEST, {}, end_of_stream=False), *sequence[: ends[0] + 1 if ends else None]]
    assert answered(modes, started, decision, late=True) == answered(modes, started, decision, late=False)
