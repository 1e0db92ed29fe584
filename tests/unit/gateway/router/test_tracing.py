"""The span of a request that the router judges: its parent, and when it ends."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    Direction,
    HeadersReceived,
    ImmediateReply,
    Modes,
    Reply,
)
from gateway.router.conversation import RouterConversation, Routing
from gateway.router.metrics import Metrics
from gateway.router.tracing import ConversationTracer
from gateway.routing.catalogue import Reader
from gateway.routing.chain import Chain
from gateway.service.tracing import SAMPLER, provider_of

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = {
    ":method": "POST", ":path": "/v1/completions?x=1", "content-type": "application/json", "traceparent": PARENT,
}  # fmt: skip
CLASS = """class:kind:{"headerName": "x-class", "default": "general", "examples": {"classes": [
 {"class": "law", "texts": ["my landlord"]}]}}"""


class Traced:
    def __init__(self, *plugins: str) -> None:
        self.answers: list[Callable[[Any], None]] = []
        self.pushed: list[Reply] = []
        self._exporter = InMemorySpanExporter()
        self._provider = provider_of("router", {SAMPLER: ""}, self._exporter)
        chain = Chain(Reader().read(plugins), Metrics("test"))
        routing = Routing(chain, {}, {"my landlord": (1.0, 0.0)}, lambda _text, answer: self.answers.append(answer))
        modes = Modes(BodyMode.BUFFERED, BodyMode.NONE)
        self.talk = ConversationTracer(self._provider).traced(
            lambda push: RouterConversation(routing, lambda _reading: None, modes, push), self.pushed.extend
        )
        self.talk.receive(HeadersReceived(Direction.REQUEST, HEADERS, end_of_stream=False), 0.0)

    def body(self, data: bytes) -> Sequence[Reply]:
        return self.talk.receive(BodyReceived(Direction.REQUEST, data, end_of_stream=True), 0.0)

    def spans(self) -> Sequence[ReadableSpan]:
        self._provider.force_flush()
        return self._exporter.get_finished_spans()


@pytest.fixture(autouse=True)
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SAMPLER, "always_on")


def test_a_request_continues_the_callers_trace_until_its_last_reply() -> None:
    traced = Traced()
    assert traced.spans() == ()
    traced.body(b'{"model": "m"}')
    (span,) = traced.spans()
    traced.talk.close(1.0)

    assert span.name == "gateway.request"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert dict(span.attributes or {}) == {"http.request.method": "POST", "url.path": "/v1/completions"}
    assert len(traced.spans()) == 1


def test_a_refusal_is_an_error() -> None:
    traced = Traced()
    (reply,) = traced.body(b"{")
    (span,) = traced.spans()

    assert isinstance(reply, ImmediateReply)
    assert not span.status.is_ok
    assert dict(span.attributes or {})["http.response.status_code"] == 400


def test_a_reply_that_comes_late_ends_it_and_goes_out() -> None:
    traced = Traced(CLASS)
    traced.body(b'{"prompt": "about my flat"}')
    assert traced.spans() == ()
    traced.answers[0]((1.0, 0.0))

    assert len(traced.pushed) == len(traced.spans()) == 1


def test_a_stream_that_breaks_off_ends_it() -> None:
    traced = Traced()
    traced.talk.close(1.0, is_cut=True)

    assert len(traced.spans()) == 1
