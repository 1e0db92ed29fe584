"""OpenTelemetry as services set it up: where spans go, which are sampled, what of a caller's context counts.

Shell; imported only with `--tracing`, since OpenTelemetry takes a third of a second to import. The caller's W3C context
(`traceparent`, `tracestate`, `baggage`) is the parent. The rest is OpenTelemetry's environment; as in the reference one
request of ten that has no parent is sampled. The exporter works on a thread of its own and drops what it cannot send.
"""

import os
from collections.abc import Mapping
from typing import Final

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

USUAL_RATIO: Final = 0.1
SAMPLER: Final = "OTEL_TRACES_SAMPLER"
PROPAGATOR: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def provider_of(
    service: str, environment: Mapping[str, str] = os.environ, exporter: SpanExporter | None = None
) -> TracerProvider:
    """The provider that the environment asks for; `exporter` instead of OTLP over HTTP is for tests. `service` is the
    name without OTEL_SERVICE_NAME."""
    sampler = None if SAMPLER in environment else ParentBased(TraceIdRatioBased(USUAL_RATIO))
    named = {} if "OTEL_SERVICE_NAME" in environment else {"service.name": service}
    provider = TracerProvider(sampler=sampler, resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return provider
