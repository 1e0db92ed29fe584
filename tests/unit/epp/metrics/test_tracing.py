"""Spans of requests: their names, their parents, and when they end."""

import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from epp.domain import EndpointId, Outcome, Pick, PickId, PoolId, Request, Ticket, Verdict, Waiter
from epp.telemetry import tracing
from epp.telemetry.tracing import SERVICE, TracedPicker
from gateway.service.tracing import SAMPLER, provider_of
from gateway.wire.errors import ErrorCode, Rejection

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PICK = Pick(
    PickId("r-1"), PoolId("ns/a"), (EndpointId("10.0.0.1:80"),), (("x-own", "1"),), model="m", served_model="m2"
)
REQUEST = Request(
    None, "POST", "/v1/completions?x=1", {"traceparent": PARENT, "tracestate": "a=b", "baggage": "who=me"}
)


@dataclass
class Picker:
    verdict: Verdict | Ticket
    waiters: list[Waiter] = field(default_factory=list)
    events: list[object] = field(default_factory=list)

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        self.waiters.append(waiter)
        return self.verdict

    def cancel(self, ticket: Ticket, now: float) -> None:
        self.events.append(ticket)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        self.events.append((pick_id, outcome))


class Waits:
    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def decide(self, verdict: Verdict, now: float) -> None:
        self.verdicts.append(verdict)


class Traced:
    def __init__(self, verdict: Verdict | Ticket, *, sees_end: bool = True) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider: TracerProvider = provider_of(SERVICE, {SAMPLER: ""}, self.exporter)
        self.inner = Picker(verdict)
        self.waits = Waits()
        self.picker = TracedPicker(self.inner, self.provider, sees_end=sees_end)

    def submit(self, request: Request = REQUEST) -> Verdict | Ticket:
        return self.picker.submit(request, self.waits, 0.0)

    def spans(self) -> dict[str, ReadableSpan]:
        self.provider.force_flush()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture(autouse=True)
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SAMPLER, "always_on")


def test_a_request_continues_the_callers_trace_and_hands_it_on() -> None:
    traced = Traced(PICK)
    verdict = traced.submit()
    assert isinstance(verdict, Pick)
    headers = dict(verdict.headers)
    version, trace, span, flags = headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", PARENT.split("-")[1], "01")
    assert span != PARENT.split("-")[2]
    assert (headers["x-own"], headers["tracestate"]) == ("1", "a=b")

    assert set(traced.spans()) == {"gateway.request_orchestration"}
    traced.picker.settle(PICK.id, Outcome.ENDED, 1.0)
    assert traced.inner.events == [(PICK.id, Outcome.ENDED)]
    spans = traced.spans()
    root, child = spans["gateway.request"], spans["gateway.request_orchestration"]
    assert root.parent is not None
    assert child.parent is not None
    assert f"{root.parent.span_id:016x}" == PARENT.split("-")[2]
    assert child.parent.span_id == root.context.span_id
    assert f"{root.context.span_id:016x}" == span
    assert root.attributes is not None
    assert dict(root.attributes) == {
        "http.request.method": "POST", "url.path": "/v1/completions", "target_model": "m2", "inference_pool": "ns/a",
        "destination_endpoint": "10.0.0.1:80", "outcome": "ended",
    }  # fmt: skip
    assert root.resource.attributes["service.name"] == "llm-d-epp"


def test_a_refusal_is_an_error_and_ends_the_trace() -> None:
    traced = Traced(Rejection(429, ErrorCode.POOL_SATURATED, "full"))
    traced.submit()
    root = traced.spans()["gateway.request"]
    assert not root.status.is_ok
    assert root.attributes is not None
    assert root.attributes["http.response.status_code"] == 429


def test_a_request_that_waits_is_orchestrated_until_its_verdict() -> None:
    traced = Traced(Ticket(7))
    assert traced.submit() == Ticket(7)
    assert traced.spans() == {}
    traced.inner.waiters[0].decide(PICK, 1.0)
    (verdict,) = traced.waits.verdicts
    assert isinstance(verdict, Pick)
    assert "traceparent" in dict(verdict.headers)
    assert set(traced.spans()) == {"gateway.request_orchestration"}


def test_a_client_that_leaves_ends_its_trace() -> None:
    traced = Traced(Ticket(7))
    traced.submit()
    traced.picker.cancel(Ticket(7), 1.0)
    assert traced.inner.events == [Ticket(7)]
    assert not traced.spans()["gateway.request"].status.is_ok


def test_where_the_end_is_not_seen_the_verdict_ends_the_trace() -> None:
    traced = Traced(PICK, sees_end=False)
    traced.submit()
    assert set(traced.spans()) == {"gateway.request", "gateway.request_orchestration"}


def test_streams_that_never_end_cost_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_OPEN", 3)
    traced = Traced(PICK)
    for number in range(5):
        traced.inner.verdict = PICK._replace(id=PickId(f"r-{number}"))
        traced.submit()
    traced.provider.force_flush()
    ended = [span.name for span in traced.exporter.get_finished_spans()]
    assert ended.count("gateway.request") == 2


def test_a_broken_context_begins_a_trace_of_its_own() -> None:
    traced = Traced(PICK)
    traced.submit(Request(None, "GET", "/", {"traceparent": "nonsense"}))
    traced.picker.settle(PICK.id, Outcome.ENDED, 1.0)
    assert traced.spans()["gateway.request"].parent is None


@pytest.mark.parametrize("service", ["epp.app.stack", "bbr.app"])
def test_nothing_of_it_is_loaded_where_it_is_off(service: str) -> None:
    """The client for Redis, which is loaded where there is one, loads the SDK by itself."""
    own = "{'epp.telemetry.tracing', 'gateway.service.tracing', 'gateway.router.tracing', 'opentelemetry.exporter'}"
    subprocess.run([sys.executable, "-c", f"import sys, {service}; assert not {own} & {{*sys.modules}}"], check=True)
