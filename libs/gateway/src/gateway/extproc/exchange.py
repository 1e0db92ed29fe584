"""One HTTP request and its response over one ext_proc stream, as a pure state machine for every body mode.

    IDLE ──headers──▶ READING ──body complete──▶ DECIDING ──decided()──▶ DECIDED ──▶ (response)
                         └── too large, or an immediate reply ──▶ CLOSED

`receive(event)` returns steps in order: replies to send, and at most one `Decide` when the request is complete; its
owner answers with `decided(...)`, now or later. When the decision may be made depends on the mode:

    NONE, or no body              in the reply to the headers
    BUFFERED, BUFFERED_PARTIAL    headers get an empty reply at once, the mutation goes into the body reply
    FULL_DUPLEX_STREAMED          headers are held; then headers, body in chunks, trailers go on in this order
    STREAMED                      the proxy waits for the headers reply before it sends the body, so the decision is
                                  made without seeing it; unless the body comes early: then headers are held

Response bodies are never held: each chunk is answered as it comes. An event in an order that no proxy may send is a
`ProtocolViolation`. No clock, no I/O.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from gateway.extproc.messages import (
    NO_METADATA,
    NO_MUTATION,
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    Event,
    Headers,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
    Mutation,
    Reply,
    TrailersReceived,
    TrailersReply,
)
from gateway.wire import errors
from gateway.wire.errors import ErrorCode
from gateway.wire.protocol import BODY_LIMIT_BYTES

# Envoy advises at most 64 KB per streamed body reply; the reference uses the same figure.
CHUNK_BYTES = 62_000
# What a proxy that does not describe itself is taken to use: what the Endpoint Picker Protocol demands support for.
PROTOCOL_MODES = Modes(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.FULL_DUPLEX_STREAMED)

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
EMPTY_HEADERS_REPLY = {direction: HeadersReply(direction) for direction in Direction}
EMPTY_BODY_REPLY = {direction: BodyReply(direction) for direction in Direction}


class ProtocolViolation(Exception):  # noqa: N818 - the protocol's own word
    """The proxy sent a message that cannot come in this state."""


@dataclass(frozen=True, slots=True)
class Decide:
    """The request is complete: decide about it. `is_partial` says that only the start of the body is known."""

    headers: Mapping[str, str]
    body: bytes
    metadata: Metadata
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Proceed:
    """Let the request go on, changed. `body` None leaves the body as it is; `response` changes the answer's headers."""

    mutation: Mutation
    body: bytes | None = None
    response: Mutation = NO_MUTATION


Step = Reply | Decide


class _State(Enum):
    IDLE = auto()
    READING = auto()
    DECIDING = auto()
    DECIDED = auto()
    CLOSED = auto()


class _ResponseState(Enum):
    NONE = auto()
    STARTED = auto()
    ENDED = auto()


class Exchange:
    """See the module's docstring. One instance per stream, one owner."""

    __slots__ = (
        "_chunks",
        "_limit",
        "_metadata",
        "_modes",
        "_observes",
        "_owes",
        "_request_ended",
        "_request_headers",
        "_response",
        "_response_mutation",
        "_size",
        "_state",
        "_trailers_wait",
    )

    def __init__(self, modes: Modes = PROTOCOL_MODES, body_limit: int = BODY_LIMIT_BYTES) -> None:
        self._modes = modes
        self._limit = body_limit
        self._state = _State.IDLE
        self._response = _ResponseState.NONE
        self._response_mutation = NO_MUTATION
        self._request_headers: Mapping[str, str] = {}
        self._metadata: Metadata = NO_METADATA
        self._chunks: list[bytes] = []
        self._size = 0
        self._owes = 0  # body messages of a streamed request that wait for their reply
        self._request_ended = False
        self._trailers_wait = False
        self._observes = False

    @property
    def is_decided(self) -> bool:
        return self._state in (_State.DECIDED, _State.CLOSED)

    @property
    def is_closed(self) -> bool:
        """An immediate reply was given: nothing more will be answered."""
        return self._state is _State.CLOSED

    @property
    def request_is_over(self) -> bool:
        """Everything about the request has been answered."""
        return self.is_closed or (self._state is _State.DECIDED and self._request_ended)

    @property
    def is_at_rest(self) -> bool:
        """Nothing is owed and no body flows through here, so that the stream may end without harm."""
        if self._observes or self.is_closed:
            return True
        if self._state is not _State.DECIDED or not self._request_ended:
            return False
        carries_body = self._modes.response_body is BodyMode.FULL_DUPLEX_STREAMED
        return not (carries_body and self._response is _ResponseState.STARTED)

    def receive(self, event: Event) -> list[Step]:
        """Take the proxy's next message."""
        if self._observes or self._state is _State.CLOSED:
            return []
        if event.direction is RESPONSE:
            return self._receive_response(event)
        match event:
            case HeadersReceived():
                return self._receive_headers(event)
            case BodyReceived():
                return self._receive_body(event)
            case TrailersReceived():
                return self._receive_trailers()

    def decided(self, decision: Proceed | ImmediateReply) -> list[Reply]:
        """Answer the `Decide` step."""
        if self._state is not _State.DECIDING:
            raise ProtocolViolation(f"a decision arrived in state {self._state.name}")
        if isinstance(decision, ImmediateReply):
            return self._close(decision)
        self._state = _State.DECIDED
        self._response_mutation = decision.response
        chunks, self._chunks = self._chunks, []
        match self._modes.request_body:
            case BodyMode.FULL_DUPLEX_STREAMED:
                return self._forward(decision, chunks)
            case BodyMode.STREAMED:
                return self._release(decision)
            case BodyMode.BUFFERED | BodyMode.BUFFERED_PARTIAL:
                return [BodyReply(REQUEST, _with_length(decision), decision.body), *self._waiting_trailers()]
            case BodyMode.NONE:
                return [HeadersReply(REQUEST, decision.mutation)]

    # The request.

    def _receive_headers(self, event: HeadersReceived) -> list[Step]:
        if self._state is not _State.IDLE:
            raise ProtocolViolation(f"request headers arrived in state {self._state.name}")
        if event.observe_only:
            self._observes = True
            return []
        self._modes = event.modes or self._modes
        self._request_headers, self._metadata = event.headers, event.metadata
        mode = self._modes.request_body
        if event.end_of_stream or mode is BodyMode.NONE:
            self._request_ended = True
            return self._without_body()
        self._state = _State.READING
        if mode in (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL):
            return [EMPTY_HEADERS_REPLY[REQUEST]]
        if mode is BodyMode.STREAMED and not self._modes.body_comes_early:
            return self._without_body()
        return []

    def _without_body(self) -> list[Step]:
        # No body will be seen before the reply to the headers, so that is where the mutation goes: as in mode NONE.
        self._modes = Modes(BodyMode.NONE, self._modes.response_body)
        self._state = _State.DECIDING
        return [Decide(self._request_headers, b"", self._metadata)]

    def _receive_body(self, event: BodyReceived) -> list[Step]:
        if self._request_ended or self._state is _State.IDLE:
            raise ProtocolViolation(f"a request body message arrived in state {self._state.name}")
        self._request_ended = event.end_of_stream
        if self._state is not _State.READING:  # the decision was made from the headers alone
            return [EMPTY_BODY_REPLY[REQUEST]]
        self._size += len(event.data)
        if self._size > self._limit:
            return [*self._close(too_large(self._limit))]
        self._chunks.append(event.data)
        self._owes += 1
        if self._modes.request_body in (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL):
            # One message is all there is: without end_of_stream it ends in trailers, or it is only the start.
            is_partial = self._modes.request_body is BodyMode.BUFFERED_PARTIAL and not event.end_of_stream
            self._request_ended = True
            return self._decide(is_partial=is_partial)
        return self._decide() if event.end_of_stream else []

    def _receive_trailers(self) -> list[Step]:
        if self._trailers_wait or self._state is _State.IDLE:
            raise ProtocolViolation(f"request trailers arrived in state {self._state.name}")
        self._trailers_wait = self._request_ended = True
        if self._state is _State.DECIDED:
            return [TrailersReply(REQUEST)]
        return self._decide() if self._state is _State.READING else []

    def _decide(self, *, is_partial: bool = False) -> list[Step]:
        self._state = _State.DECIDING
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = [body]
        return [Decide(self._request_headers, body, self._metadata, is_partial)]

    def _forward(self, decision: Proceed, chunks: list[bytes]) -> list[Reply]:
        body = chunks[0] if decision.body is None else decision.body
        starts = range(0, len(body), CHUNK_BYTES) or range(1)
        last = starts[-1]
        replies: list[Reply] = [HeadersReply(REQUEST, _with_length(decision))]
        for start in starts:
            is_last = start == last and not self._trailers_wait
            replies.append(ChunkReply(REQUEST, body[start : start + CHUNK_BYTES], is_last))
        return [*replies, *self._waiting_trailers()]

    def _release(self, decision: Proceed) -> list[Reply]:
        # Streamed, body early: one reply for each body message; a new body replaces the first, the others go empty.
        replies: list[Reply] = [HeadersReply(REQUEST, _with_length(decision))]
        for number in range(self._owes):
            body = None if decision.body is None else decision.body if number == 0 else b""
            replies.append(BodyReply(REQUEST, body=body))
        return [*replies, *self._waiting_trailers()]

    def _waiting_trailers(self) -> list[Reply]:
        return [TrailersReply(REQUEST)] if self._trailers_wait else []

    def _close(self, reply: ImmediateReply) -> list[Reply]:
        self._state = _State.CLOSED
        self._chunks = []
        return [reply]

    # The response.

    def _receive_response(self, event: Event) -> list[Step]:
        is_first = self._response is _ResponseState.NONE
        if self._response is _ResponseState.ENDED or (isinstance(event, HeadersReceived) and not is_first):
            raise ProtocolViolation(f"response {_kind(event)} arrived after the response {self._response.name.lower()}")
        ends = not isinstance(event, TrailersReceived) and event.end_of_stream
        is_over = ends or isinstance(event, TrailersReceived)
        self._response = _ResponseState.ENDED if is_over else _ResponseState.STARTED
        match event:
            case HeadersReceived() if self._response_mutation is NO_MUTATION:
                return [EMPTY_HEADERS_REPLY[RESPONSE]]
            case HeadersReceived():
                return [HeadersReply(RESPONSE, self._response_mutation)]
            case BodyReceived() if self._modes.response_body is BodyMode.FULL_DUPLEX_STREAMED:
                return [*_in_chunks(event)]
            case BodyReceived():
                return [EMPTY_BODY_REPLY[RESPONSE]]
            case TrailersReceived():
                return [TrailersReply(RESPONSE)]


def too_large(limit: int) -> ImmediateReply:
    """The 413 of every door."""
    message = f"the request body is larger than {limit} bytes"
    return immediate_error(413, ErrorCode.REQUEST_TOO_LARGE, message)


def immediate_error(
    status: int, code: ErrorCode, message: str, retry_after: float | None = None, param: str | None = None
) -> ImmediateReply:
    """An OpenAI-shaped error that goes straight to the client."""
    headers: Headers = (("content-type", "application/json"),)
    if retry_after is not None:
        headers = (*headers, ("retry-after", str(max(1, math.ceil(retry_after)))))
    return ImmediateReply(status, headers, errors.error_body(status, code, message, param), details=code)


def _in_chunks(event: BodyReceived) -> list[Reply]:
    if len(event.data) <= CHUNK_BYTES:
        return [ChunkReply(event.direction, event.data, event.end_of_stream)]
    starts = range(0, len(event.data), CHUNK_BYTES)
    return [
        ChunkReply(event.direction, event.data[at : at + CHUNK_BYTES], event.end_of_stream and at == starts[-1])
        for at in starts
    ]


def _with_length(decision: Proceed) -> Mutation:
    """A body that changed changes its length; an unchanged one keeps what the client said."""
    if decision.body is None:
        return decision.mutation
    mutation = decision.mutation
    headers = (*mutation.set_headers, ("content-length", str(len(decision.body))))
    return Mutation(headers, mutation.remove_headers, mutation.metadata, mutation.clear_route_cache)


def _kind(event: Event) -> str:
    return {HeadersReceived: "headers", BodyReceived: "body", TrailersReceived: "trailers"}[type(event)]
