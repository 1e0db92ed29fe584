"""A span for each request that the router judges, under the reference's name. Shell; imported only with `--tracing`.

    gateway.request   from the request's headers to the last reply

Its parent is the caller's context, which goes on as it came: the picker's span is beside this one.
"""

from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from gateway.extproc.conversation import Conversation, Push
from gateway.extproc.protocol.messages import Direction, Event, HeadersReceived, ImmediateReply, Reply
from gateway.service.tracing import PROPAGATOR

SCOPE: Final = "gateway-api-inference-extension/bbr/extproc"

# Opens a conversation that pushes late replies there.
OpenConversation = Callable[[Push], Conversation]


class ConversationTracer:
    """Wraps each conversation of a router."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(SCOPE)

    def traced(self, opened: OpenConversation, push: Push) -> Conversation:
        return TracedConversation(self._tracer, opened, push)


class TracedConversation:
    """One request on one stream, with its span."""

    __slots__ = ("_push", "_routed", "_span", "_tracer")

    def __init__(self, tracer: Tracer, opened: OpenConversation, push: Push) -> None:
        self._tracer = tracer
        self._push = push
        self._span: Span | None = None
        self._routed = opened(self._push_late)

    @property
    def is_finished(self) -> bool:
        return self._routed.is_finished

    @property
    def is_at_rest(self) -> bool:
        return self._routed.is_at_rest

    @property
    def is_collecting(self) -> bool:
        return self._routed.is_collecting

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        """Take the proxy's next message."""
        if self._span is None and isinstance(event, HeadersReceived) and event.direction is Direction.REQUEST:
            path = event.headers.get(":path", "").partition("?")[0]
            attributes = {"http.request.method": event.headers.get(":method", ""), "url.path": path}
            parent = PROPAGATOR.extract(event.headers)
            self._span = self._tracer.start_span("gateway.request", parent, SpanKind.SERVER, attributes)
        replies = self._routed.receive(event, now)
        self._replied(replies)
        return replies

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """The stream is over."""
        self._routed.close(now, is_cut=is_cut)
        self._end()

    def _push_late(self, replies: Sequence[Reply]) -> None:
        self._replied(replies)
        self._push(replies)

    def _replied(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            if isinstance(reply, ImmediateReply) and self._span is not None:
                self._span.set_attribute("http.response.status_code", reply.status)
                self._span.set_status(Status(StatusCode.ERROR))
        if self._routed.is_finished:
            self._end()

    def _end(self) -> None:
        """Ends once: OpenTelemetry warns about a span that ends again."""
        if self._span is not None and self._span.is_recording():
            self._span.end()
