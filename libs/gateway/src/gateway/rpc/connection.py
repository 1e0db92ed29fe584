"""A peer's connection: bytes in, bytes out, gRPC calls in between. Pure: no socket, and time is an argument.

The owner passes what was read to `receive`, lets `advance` handle it, a bounded number of messages at a time, writes
`take_output`, and calls `expire` at `due_at`. Answers that come later, between reads, are announced by `wake`. The end
of the socket is `lost`; `is_finished` asks the owner to close it.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.rpc import headers, limits
from gateway.rpc.budget import Budget
from gateway.rpc.calls import Method, Status
from gateway.rpc.engine import (
    DataReceived,
    Engine,
    ErrorCode,
    Event,
    PingReceived,
    RequestReceived,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)
from gateway.rpc.headers import Metadata
from gateway.rpc.streams import Stream


class Reports(Protocol):
    """What an operator may want to know."""

    def handler_failed(self, error: Exception) -> None:
        """A service's handler raised; the call ends with INTERNAL."""

    def abused(self) -> None:
        """A peer sends frames that bring no work, or takes no answers; its connection is ended."""


# Handles a large message later: one at a time, when the loop has time.
Defer = Callable[[Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of a server have in common."""

    methods: Mapping[str, Method]
    reports: Reports
    defer: Defer
    budget: Budget = field(default_factory=Budget)
    settings: limits.Settings = field(default_factory=limits.Settings)


class Connection:
    """See the module's docstring."""

    __slots__ = (
        "_deadlines", "_events", "_held", "_idle_frames", "_is_in_round", "_is_pinged", "_methods", "_received_at",
        "_sent", "_shared", "_streams", "_wake", "budget", "due_at", "engine", "settings",
    )  # fmt: skip

    def __init__(self, shared: Shared, wake: Callable[[], None], now: float) -> None:
        self._shared = shared
        self._wake = wake
        self.budget, self.settings = shared.budget, shared.settings
        self.engine = Engine(limits.STREAM_WINDOW_BYTES, shared.settings.connection_window, limits.CONCURRENT_STREAMS)
        self._methods = {path.encode(): method for path, method in shared.methods.items()}
        self._streams: dict[int, Stream] = {}
        self._events: deque[Event] = deque()
        self._sent: set[Stream] = set()  # streams with answers that are not, or not all, on their way
        self._held: set[Stream] = set()  # streams that get their window back when the peer takes its answers
        self._deadlines: dict[Stream, float] = {}
        self._idle_frames = limits.Allowance(limits.IDLE_FRAMES_BURST, limits.IDLE_FRAMES_PER_SECOND, now)
        self._is_in_round = self._is_pinged = False
        self._received_at = now
        self.due_at = now + shared.settings.keepalive_seconds

    @property
    def is_finished(self) -> bool:
        """Nothing will be read or written any more: the socket is to be closed."""
        return self.engine.is_finished

    @property
    def has_more(self) -> bool:
        """What was received is not all handled: `advance` again in the next round of the loop."""
        return bool(self._events)

    @property
    def is_at_rest(self) -> bool:
        """No call owes anything, and every answer is on its way."""
        return not self._sent and not self._events and all(stream.is_at_rest for stream in self._streams.values())

    # What the owner calls.

    def receive(self, data: bytes, now: float) -> None:
        """Take what was read."""
        self._received_at = now
        self._is_pinged = False
        self._events.extend(self.engine.receive(data))

    def advance(self, now: float) -> None:
        """Handle what was received, up to a bounded number of messages."""
        events = self._events
        self._is_in_round = True
        left = limits.MESSAGES_PER_ROUND
        while events and left:
            event = events.popleft()
            if type(event) is DataReceived:
                left -= self._take_data(event, now)
            else:
                self._take_frame(event, now)
        self._is_in_round = False

    def take_output(self) -> bytes:
        """Bytes to write now."""
        output, events = self.engine.take_output()
        for event in events:  # streams whose ends were written
            self._take_frame(event, self._received_at)
        if self._sent:
            self._look_at_sent()
        return output

    def expire(self, now: float) -> None:
        """Let time pass: end calls whose time is over, ping a silent peer, give up one that stays silent."""
        for stream, deadline in list(self._deadlines.items()):
            if now >= deadline:
                stream.end(Status.DEADLINE_EXCEEDED, "the deadline of the call has passed")
        for stream in list(self._streams.values()):
            if stream.stands_still:
                stream.end(Status.RESOURCE_EXHAUSTED, "a large message has stopped in its middle")
        settings, silent = self.settings, now - self._received_at
        if silent >= settings.keepalive_seconds and not self._is_pinged:
            self._is_pinged = True
            self.engine.ping()
        limit = settings.keepalive_seconds + (settings.keepalive_timeout_seconds if self._is_pinged else 0.0)
        if self._is_pinged and silent >= limit:
            self.engine.is_broken = True
        self.due_at = min([now + settings.keepalive_seconds, self._received_at + limit, *self._deadlines.values()])

    def announce_end(self) -> None:
        """The peer is to open no further streams; those that come before it knows are served."""
        self.engine.announce_end()

    def end(self) -> None:
        """End every call and the connection: with OK what owes nothing, with UNAVAILABLE the rest."""
        for stream in list(self._streams.values()):
            if stream.is_at_rest:
                stream.end()
            else:
                stream.end(Status.UNAVAILABLE, "the server ends")
        self.engine.refuse_streams()

    def lost(self) -> None:
        """The socket is gone."""
        self.engine.is_broken = True
        self._wake = _ignore  # the owner and this would keep each other
        self._events.clear()
        for stream in list(self._streams.values()):
            stream.close(is_cut=stream in self._sent)
        self._sent.clear()  # its members hold this connection

    # Frames.

    def _take_data(self, event: DataReceived, now: float) -> int:
        stream = self._streams.get(event.stream_id)
        data = event.data
        if stream is None:
            self.engine.consumed(event.stream_id, len(data))
            return 0
        if not data and not event.end_stream:
            self._count_idle(now)
            return 0
        before = stream.messages
        if data:
            stream.feed(data)
        if event.end_stream:
            stream.half_close()
        return min(stream.messages - before, limits.MESSAGES_PER_ROUND)

    def _take_frame(self, event: Event, now: float) -> None:
        match event:
            case RequestReceived():
                self._open(event, now)
            case StreamClosed(stream_id=number):
                stream = self._streams.get(number)
                if stream is not None:
                    if not stream.messages:
                        self._count_idle(now)
                    stream.close(is_cut=stream in self._sent)
            case StreamReset(stream_id=number):
                if number not in self._streams:
                    self._count_idle(now)
            case TrailersReceived(stream_id=number):
                stream = self._streams.get(number)
                if stream is not None:
                    stream.half_close()
            case PingReceived() | SettingsReceived():
                self._count_idle(now)

    def _count_idle(self, now: float) -> None:
        if not self._idle_frames.take(now):
            self._end_abuse()

    def _end_abuse(self) -> None:
        if not self.engine.is_finished:
            self._events.clear()
            self.engine.terminate(ErrorCode.ENHANCE_YOUR_CALM)
            self._shared.reports.abused()

    def _open(self, event: RequestReceived, now: float) -> None:
        number, fields = event.stream_id, dict(event.headers)
        if not self.engine.is_open(number):  # reset by what came in the same read
            self._count_idle(now)
            return
        if fields.get(b":method") != b"POST":
            self.engine.respond(number, headers.METHOD_NOT_ALLOWED, ends=True)
            return
        if not headers.is_grpc(fields.get(b"content-type", b"")):
            self.engine.respond(number, headers.UNSUPPORTED_MEDIA_TYPE, ends=True)
            return
        stream = Stream(self, number, fields.get(b"grpc-encoding", b""))
        self._streams[number] = stream
        method = self._methods.get(fields.get(b":path", b""))
        timeout = fields.get(b"grpc-timeout")
        if method is None:
            stream.end(Status.UNIMPLEMENTED, f"no method {fields.get(b':path', b'').decode('latin-1')}")
        elif timeout is None or self._set_deadline(stream, timeout, now):
            self._begin(stream, method, Metadata(event.headers))
        if event.end_stream:
            stream.half_close()

    def _set_deadline(self, stream: Stream, timeout: bytes, now: float) -> bool:
        seconds = headers.timeout(timeout)
        if seconds is None:
            stream.end(Status.INTERNAL, f"grpc-timeout: expected up to 8 digits and a unit, got {timeout!r}")
            return False
        self._deadlines[stream] = now + seconds
        self.due_at = min(self.due_at, now + seconds)
        return True

    def _begin(self, stream: Stream, method: Method, metadata: Metadata) -> None:
        try:
            stream.open(method(metadata, stream))
        except Exception as error:  # noqa: BLE001 - whatever a service does wrong, the other streams go on
            self.failed(error)
            stream.end(Status.INTERNAL, "internal error")

    # What the streams call.

    def has_sent(self, stream: Stream) -> None:
        """Something is to be written."""
        self._sent.add(stream)
        if not self._is_in_round:
            self._wake()

    def is_held_up(self, stream: Stream) -> bool:
        """The peer does not take what it is sent."""
        engine = self.engine
        queued = engine.queued
        return bool(queued) and (
            queued > limits.CONNECTION_OUTPUT_BYTES or engine.queued_on(stream.id) > limits.STREAM_OUTPUT_BYTES
        )

    def hold(self, stream: Stream) -> None:
        """The stream gets its window back when the peer takes more."""
        self._held.add(stream)

    def defer(self, stream: Stream, message: bytes) -> None:
        """A large message is handled when nothing else is."""
        self._shared.defer(lambda: self._handle_deferred(stream, message))

    def failed(self, error: Exception) -> None:
        """A handler raised."""
        self._shared.reports.handler_failed(error)

    def forget(self, stream: Stream) -> None:
        """The stream is over."""
        self._streams.pop(stream.id, None)
        self._deadlines.pop(stream, None)
        self._held.discard(stream)

    def _handle_deferred(self, stream: Stream, message: bytes) -> None:
        if not stream.is_over:
            stream.handle(message)
            self._wake()

    def _look_at_sent(self) -> None:
        """Keep in mind which streams have answers that the peer does not take."""
        engine = self.engine
        queued = engine.queued
        if not queued:
            self._sent.clear()
        else:
            self._sent = {stream for stream in self._sent if engine.queued_on(stream.id)}
            if queued > limits.CONNECTION_OUTPUT_LIMIT_BYTES:
                self._end_abuse()
        if self._held:
            freed = [stream for stream in self._held if not self.is_held_up(stream)]
            self._held.difference_update(freed)
            for stream in freed:
                stream.return_window()


def _ignore() -> None:
    """Nobody is left to wake."""
