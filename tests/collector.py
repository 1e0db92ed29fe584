"""A collector of traces, by OTLP over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.service import admin


@dataclass
class Collector:
    """The trace of each span that came, by the span's name."""

    traces: dict[str, str] = field(default_factory=dict)

    async def collect(self, request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                self.traces.update({span.name: span.trace_id.hex() for span in scope.spans})
        return web.Response()


@asynccontextmanager
async def collecting(environment: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """A collector that every process which begins meanwhile sends to, at once and all of its spans."""
    collector, app = Collector(), web.Application()
    app.add_routes([web.post("/v1/traces", collector.collect)])
    async with admin.serving(app, "127.0.0.1", 0) as port:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        environment.setenv("OTEL_TRACES_SAMPLER", "always_on")
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield collector
