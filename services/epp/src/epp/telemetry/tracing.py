"""OpenTelemetry traces of requests, under the reference's span names. A shell; imported only with `--tracing`.

    gateway.request                  from the decision to the end of the exchange
      gateway.request_orchestration  the decision alone, waiting included

The caller's context is the parent, and the model server gets the request's own.
"""

from collections import OrderedDict
from typing import Final, NamedTuple, Protocol

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from epp.domain import Outcome, Pick, PickId, Request, Ticket, Verdict, Waiter
from gateway.service.tracing import PROPAGATOR
from gateway.wire.errors import Rejection

SERVICE: Final = "llm-d-epp"  # the reference's name, unless OTEL_SERVICE_NAME gives another
SCOPE: Final = "llm-d-router"
# Requests whose end is waited for; older ones end here, so that a proxy that never ends its streams costs no memory.
MOST_OPEN: Final = 10_000


class RequestPicker(Protocol):
    """The part of the picker that transports use."""

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """Decide, or let the request wait."""

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Forget a request that waits."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over."""


class _Spans(NamedTuple):
    """Of one request."""

    request: Span
    orchestration: Span

    def decided(self, verdict: Verdict) -> Verdict:
        """The verdict, with the request's context for the model server."""
        match verdict:
            case Pick():
                self.request.set_attributes({
                    "target_model": verdict.served_model or verdict.model or "",
                    "inference_pool": verdict.pool, "destination_endpoint": verdict.targets[0],
                })  # fmt: skip
            case Rejection():
                self.request.set_attributes({"http.response.status_code": verdict.status, "error.type": verdict.code})
                self.request.set_status(Status(StatusCode.ERROR, verdict.message))
        self.orchestration.end()
        if not isinstance(verdict, Pick):
            self.request.end()
            return verdict
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier, trace.set_span_in_context(self.request))
        return verdict._replace(headers=(*verdict.headers, *carrier.items()))


class TracedPicker:
    """The picker as a transport sees it, traced. `sees_end`: the transport settles its picks itself."""

    def __init__(self, picker: RequestPicker, provider: TracerProvider, *, sees_end: bool) -> None:
        self._picker = picker
        self._tracer = provider.get_tracer(SCOPE)
        self._sees_end = sees_end
        self._open: OrderedDict[PickId, Span] = OrderedDict()
        self._waiting: dict[Ticket, _Spans] = {}

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """Decide, or let the request wait."""
        parent = PROPAGATOR.extract(request.headers)
        attributes = {"http.request.method": request.method, "url.path": request.path.partition("?")[0]}
        span = self._tracer.start_span("gateway.request", parent, SpanKind.SERVER, attributes)
        own = trace.set_span_in_context(span, parent)
        spans = _Spans(span, self._tracer.start_span("gateway.request_orchestration", own))
        traced = _TracedWaiter(self, waiter, spans)
        match self._picker.submit(request, traced, now):
            case Ticket() as ticket:
                self._waiting[ticket] = spans
                traced.ticket = ticket
                return ticket
            case verdict:
                return self.decided(spans, verdict)

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Forget a request that waits."""
        spans = self._waiting.pop(ticket, None)
        if spans is not None:
            spans.request.set_status(Status(StatusCode.ERROR, "the client or the proxy left"))
            spans.orchestration.end()
            spans.request.end()
        self._picker.cancel(ticket, now)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over."""
        span = self._open.pop(pick_id, None)
        if span is not None:
            span.set_attribute("outcome", outcome.value)
            span.end()
        self._picker.settle(pick_id, outcome, now)

    def decided(self, spans: _Spans, verdict: Verdict, ticket: Ticket | None = None) -> Verdict:
        """Take a verdict note of, now or for a request that waited."""
        if ticket is not None:
            self._waiting.pop(ticket, None)
        traced = spans.decided(verdict)
        if isinstance(traced, Pick):
            if not self._sees_end:
                spans.request.end()
                return traced
            self._open[traced.id] = spans.request
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1].end()
        return traced


class _TracedWaiter:
    """Who waits, with the spans of the wait."""

    def __init__(self, traced: TracedPicker, waiter: Waiter, spans: _Spans) -> None:
        self._traced = traced
        self._waiter = waiter
        self._spans = spans
        self.ticket: Ticket | None = None

    def decide(self, verdict: Verdict, now: float) -> None:
        """Take the verdict."""
        self._waiter.decide(self._traced.decided(self._spans, verdict, self.ticket), now)
