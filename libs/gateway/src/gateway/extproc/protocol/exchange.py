"""One HTTP request and its response over one ext_proc stream, as a pure state machine for every body mode.

The owner drives it: `receive(event)` returns steps in order, which are replies to send and at most one `Decide`, when
the request is complete. The owner answers that with `decided(...)`: at once, or after `wait()`, as late as it likes.
When the request is complete depends on the body mode:

    NONE, or no body              the decision goes into the reply to the headers
    BUFFERED, BUFFERED_PARTIAL    headers get an empty reply at once, the mutation goes into the body reply
    FULL_DUPLEX_STREAMED          headers are held; then headers, body in chunks, trailers go on in this order; a body
                                  that is watched goes on from the moment in which enough of it is there
    STREAMED                      the proxy waits for the headers reply before it sends the body, so the decision is
                                  made without seeing it; unless the body comes early: then headers are held

Response bodies are never held: each chunk is answered as it comes. The proxy can be asked not to send them, but in full
duplex, which Envoy does not leave during a request. `transitions` holds the states. An event in an order
that no proxy may send is a `ProtocolViolation`. No clock, no I/O.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.extproc.protocol import transitions
from gateway.extproc.protocol.messages import (
    NO_METADATA,
    NO_MUTATION,
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
    MoreTime,
    Mutation,
    Reply,
    TrailersReceived,
    TrailersReply,
    refuse,
)
from gateway.extproc.protocol.transitions import Decision, Flow, Message, Move, ProtocolViolation
from gateway.wire import refusals
from gateway.wire.errors import Rejection
from gateway.wire.protocol import BODY_LIMIT_BYTES

# Envoy advises at most 64 KB per streamed body reply; the reference uses the same figure.
CHUNK_BYTES = 62_000
# What a proxy that does not describe itself is taken to use: what the Endpoint Picker Protocol demands support for.
PROTOCOL_MODES = Modes(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.FULL_DUPLEX_STREAMED)

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
EMPTY_HEADERS_REPLY = {direction: HeadersReply(direction) for direction in Direction}
EMPTY_BODY_REPLY = {direction: BodyReply(direction) for direction in Direction}
_BUFFERED = (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL)
_SKIPPABLE = (*_BUFFERED, BodyMode.STREAMED)

__all__ = [
    "CHUNK_BYTES", "PROTOCOL_MODES", "Decide", "Exchange", "Proceed", "ProtocolViolation", "Step",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decide:
    """The request is complete: decide about it. With `is_partial` only the start of the body is known; with `is_begun`
    this start is enough, and the rest passes on behind it."""

    headers: Mapping[str, str]
    body: bytes
    metadata: Metadata
    is_partial: bool = False
    is_begun: bool = False


@dataclass(frozen=True, slots=True)
class Proceed:
    """Let the request go on, changed. `body` None leaves the body as it is; `response` changes the answer's headers."""

    mutation: Mutation
    body: bytes | None = None
    response: Mutation = NO_MUTATION


Step = Reply | Decide


class Watch(Protocol):
    """Looks at a body as it arrives."""

    def receive(self, data: bytes) -> bool:
        """Take the next bytes; whether enough is there to decide."""


# Of a request with these headers; None for one that must be whole.
WatchFor = Callable[[Mapping[str, str]], Watch | None]


def _always_whole(headers: Mapping[str, str]) -> Watch | None:
    del headers
    return None


class Exchange:
    """See the module's docstring. One instance per stream, one owner."""

    __slots__ = (
        "_chunks",
        "_decision",
        "_limit",
        "_metadata",
        "_modes",
        "_owed",
        "_request",
        "_request_headers",
        "_response",
        "_response_mutation",
        "_size",
        "_skips_response_body",
        "_watch",
        "_watch_for",
    )

    def __init__(
        self,
        modes: Modes = PROTOCOL_MODES,
        body_limit: int = BODY_LIMIT_BYTES,
        watch_for: WatchFor = _always_whole,
    ) -> None:
        self._modes = modes
        self._limit = body_limit
        self._watch_for = watch_for
        self._watch: Watch | None = None  # while a body may be decided about before it is whole
        self._request = Flow.IDLE
        self._response = Flow.IDLE
        self._decision = Decision.IDLE
        self._response_mutation = NO_MUTATION
        self._skips_response_body = False
        self._request_headers: Mapping[str, str] = {}
        self._metadata: Metadata = NO_METADATA
        self._chunks: list[bytes] = []
        self._size = 0
        self._owed = 0  # body messages of the request that get their replies after the decision

    @property
    def is_decided(self) -> bool:
        return self._decision in (Decision.DECIDED, Decision.CLOSED)

    @property
    def is_waiting(self) -> bool:
        """The decision comes later."""
        return self._decision is Decision.WAITING

    @property
    def is_closed(self) -> bool:
        """An immediate reply was given: nothing more will be answered."""
        return self._decision is Decision.CLOSED

    @property
    def request_is_over(self) -> bool:
        """Everything about the request has been answered."""
        return self.is_closed or (self._decision is Decision.DECIDED and self._request is not Flow.OPEN)

    @property
    def is_collecting(self) -> bool:
        """Chunks are kept for a body that is not complete."""
        return bool(self._chunks) and self._decision is Decision.IDLE

    @property
    def passes_response(self) -> bool:
        """Bodies of the answer flow through here, and nothing goes on by itself."""
        return self._modes.response_body is BodyMode.FULL_DUPLEX_STREAMED

    @property
    def is_at_rest(self) -> bool:
        """Nothing is owed and no body flows through here, so that the stream may end without harm."""
        is_over = self.request_is_over and not (self.passes_response and self._response is Flow.OPEN)
        return is_over or self._decision in (Decision.OBSERVING, Decision.CLOSED)

    def receive(self, event: Event) -> list[Step]:
        """Take the proxy's next message."""
        if self._decision in (Decision.OBSERVING, Decision.CLOSED):
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

    def wait(self, longest_seconds: float = 0.0) -> list[Reply]:
        """The decision comes later. With a longest wait, the reply asks the proxy for so many seconds."""
        self._move(Move.WAIT)
        return [MoreTime(longest_seconds)] if longest_seconds > 0 else []

    def decided(self, decision: Proceed | ImmediateReply) -> list[Reply]:
        """Answer the `Decide` step."""
        if isinstance(decision, ImmediateReply):
            self._move(Move.REFUSE)
            self._chunks = []
            return [decision]
        self._move(Move.PROCEED)
        self._response_mutation = decision.response
        chunks, self._chunks = self._chunks, []
        match self._modes.request_body:
            case BodyMode.FULL_DUPLEX_STREAMED:
                replies = self._forward(decision, chunks)
            case BodyMode.STREAMED:
                replies = [HeadersReply(REQUEST, _with_length(decision)), *self._owed_bodies(decision.body)]
            case BodyMode.BUFFERED | BodyMode.BUFFERED_PARTIAL:
                replies = [BodyReply(REQUEST, _with_length(decision), decision.body)]
            case BodyMode.NONE:
                replies = [HeadersReply(REQUEST, decision.mutation), *self._owed_bodies(None)]
        return [*replies, TrailersReply(REQUEST)] if self._request is Flow.TRAILED else replies

    def refused(self, rejection: Rejection, request: Mapping[str, str]) -> list[Reply]:
        """Refuse the request, whose headers these are, by them alone: before or instead of any other decision."""
        self._move(Move.BREAK_OFF if self._decision is Decision.IDLE else Move.REFUSE)
        self._chunks = []
        return [refuse(rejection, request)]

    def skip_response_body(self) -> None:
        """Nothing needs the body of the answer: ask the proxy to keep it to itself. Before the answer's headers."""
        self._skips_response_body = self._modes.response_body in _SKIPPABLE

    def add_to_answer(self, *headers: tuple[str, str]) -> None:
        """Set these headers of the answer, too. Before the answer's headers."""
        before = self._response_mutation
        self._response_mutation = replace(before, set_headers=(*before.set_headers, *headers))

    def cut(self, reply: ImmediateReply) -> list[Reply]:
        """End a request that went on: the proxy answers with this reply, or breaks off an answer that has begun."""
        if self._decision is not Decision.DECIDED:
            return []
        self._move(Move.BREAK_OFF)
        return [reply]

    # The request.

    def _receive_headers(self, event: HeadersReceived) -> list[Step]:
        mode = (event.modes or self._modes).request_body
        is_whole = event.end_of_stream or mode is BodyMode.NONE
        self._advance_request(Message.LAST_HEADERS if is_whole else Message.HEADERS, "request headers")
        if event.observe_only:
            self._move(Move.OBSERVE)
            return []
        self._modes = event.modes or self._modes
        self._request_headers, self._metadata = event.headers, event.metadata
        if is_whole or (mode is BodyMode.STREAMED and not self._modes.body_comes_early):
            # No body will be seen before the reply to the headers, so that is where the mutation goes, as in mode NONE.
            self._modes = Modes(BodyMode.NONE, self._modes.response_body)
            return self._decide(b"")
        if mode is BodyMode.FULL_DUPLEX_STREAMED:
            self._watch = self._watch_for(event.headers)
        return [EMPTY_HEADERS_REPLY[REQUEST]] if mode in _BUFFERED else []

    def _receive_body(self, event: BodyReceived) -> list[Step]:
        # A buffered body is one message: without end_of_stream it ends in trailers, or it is only the start.
        is_buffered = self._modes.request_body in _BUFFERED
        is_last = event.end_of_stream or is_buffered
        self._advance_request(Message.LAST_BODY if is_last else Message.BODY, "a request body message")
        if self._decision is Decision.DECIDED:
            is_duplex = self._modes.request_body is BodyMode.FULL_DUPLEX_STREAMED
            return [*_in_chunks(event)] if is_duplex else [EMPTY_BODY_REPLY[REQUEST]]
        self._owed += 1
        if self._decision is not Decision.IDLE and not self._chunks:  # the headers alone are being decided about
            return []
        self._size += len(event.data)
        if self._size > self._limit:
            return self._break_off(refusals.too_large(self._limit))
        self._chunks.append(event.data)
        if self._decision is not Decision.IDLE:  # the beginning is being decided about
            return []
        if not is_last:
            is_enough = self._watch is not None and self._watch.receive(event.data)
            return self._decide(self._body(), is_begun=True) if is_enough else []
        is_partial = self._modes.request_body is BodyMode.BUFFERED_PARTIAL and not event.end_of_stream
        return self._decide(self._body(), is_partial=is_partial)

    def _receive_trailers(self) -> list[Step]:
        self._advance_request(Message.TRAILERS, "request trailers")
        if self._decision is Decision.DECIDED:
            return [TrailersReply(REQUEST)]
        if self._decision is not Decision.IDLE:
            return []
        if self._modes.request_body in _BUFFERED:
            # The headers are answered and no body will come, so nothing is left that could carry the decision.
            return self._break_off(refusals.invalid("the request has trailers and no body"))
        return self._decide(self._body())

    def _break_off(self, rejection: Rejection) -> list[Step]:
        """Refuse the request before anything is decided about it."""
        self._move(Move.BREAK_OFF)
        self._chunks = []
        return [refuse(rejection, self._request_headers)]

    def _body(self) -> bytes:
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = [body]
        return body

    def _decide(self, body: bytes, *, is_partial: bool = False, is_begun: bool = False) -> list[Step]:
        self._move(Move.COMPLETE)
        return [Decide(self._request_headers, body, self._metadata, is_partial, is_begun)]

    def _forward(self, decision: Proceed, chunks: Sequence[bytes]) -> list[Reply]:
        """The first chunk is what was decided about, the others came meanwhile."""
        body = chunks[0] if decision.body is None else decision.body
        event = BodyReceived(REQUEST, b"".join((body, *chunks[1:])), end_of_stream=self._request is Flow.COMPLETE)
        headers = _with_length(decision) if self._watch is None else self._with_changed_length(decision, chunks[0])
        return [HeadersReply(REQUEST, headers), *_in_chunks(event)]

    def _with_changed_length(self, decision: Proceed, beginning: bytes) -> Mutation:
        """Of a body that is not whole yet, the length changes by what its beginning does."""
        length = self._request_headers.get("content-length", "")
        if decision.body is None or not length.isdecimal():
            return decision.mutation
        changed = int(length) - len(beginning) + len(decision.body)
        headers = (*decision.mutation.set_headers, ("content-length", str(changed)))
        return replace(decision.mutation, set_headers=headers)

    def _owed_bodies(self, body: bytes | None) -> list[Reply]:
        """One reply for each body message: a new body replaces the first, the others go empty."""
        if body is None:
            return [EMPTY_BODY_REPLY[REQUEST]] * self._owed
        return [BodyReply(REQUEST, body=body if number == 0 else b"") for number in range(self._owed)]

    def _advance_request(self, message: Message, what: str) -> None:
        self._request = transitions.after(transitions.REQUEST, self._request, message, what)

    def _move(self, move: Move) -> None:
        self._decision = transitions.after(transitions.DECISION, self._decision, move, "a decision")

    # The response.

    def _receive_response(self, event: Event) -> list[Step]:
        message, what = _response_message(event)
        self._response = transitions.after(transitions.RESPONSE, self._response, message, what)
        match event:
            case HeadersReceived() if self._response_mutation is NO_MUTATION and not self._skips_response_body:
                return [EMPTY_HEADERS_REPLY[RESPONSE]]
            case HeadersReceived():
                body_mode = BodyMode.NONE if self._skips_response_body else None
                return [HeadersReply(RESPONSE, self._response_mutation, body_mode)]
            case BodyReceived() if self.passes_response:
                return [*_in_chunks(event)]
            case BodyReceived():
                return [EMPTY_BODY_REPLY[RESPONSE]]
            case TrailersReceived():
                return [TrailersReply(RESPONSE)]


def _response_message(event: Event) -> tuple[Message, str]:
    match event:
        case HeadersReceived():
            return Message.LAST_HEADERS if event.end_of_stream else Message.HEADERS, "response headers"
        case BodyReceived():
            return Message.LAST_BODY if event.end_of_stream else Message.BODY, "a response body message"
        case TrailersReceived():
            return Message.TRAILERS, "response trailers"


def _in_chunks(event: BodyReceived) -> list[Reply]:
    if len(event.data) <= CHUNK_BYTES:
        return [ChunkReply(event.direction, event.data, event.end_of_stream)]
    starts = range(0, len(event.data), CHUNK_BYTES)
    return [
        ChunkReply(event.direction, event.data[at : at + CHUNK_BYTES], event.end_of_stream and at == starts[-1])
        for at in starts
    ]


def _with_length(decision: Proceed) -> Mutation:
    """A body that changed changes its length; an unchanged one keeps the client's."""
    if decision.body is None:
        return decision.mutation
    mutation = decision.mutation
    headers = (*mutation.set_headers, ("content-length", str(len(decision.body))))
    return Mutation(headers, mutation.remove_headers, mutation.metadata, mutation.clear_route_cache)
