"""`epp --tracing` against a collector."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.service import admin
from tests.integration.epp.process.test_process import CONFIG, POOLS, SLICE, model_servers, picker


async def test_traces_reach_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: dict[str, str] = {}

    async def collect(request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                spans.update({span.name: span.trace_id.hex() for span in scope.spans})
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/v1/traces", collect)])
    folder = tmp_path / "manifests"
    folder.mkdir()
    async with admin.serving(app, "127.0.0.1", 0) as port, model_servers(1) as (server,):
        (folder / "pools.yaml").write_text(POOLS + SLICE.format(port=server))
        for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                            "OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "100"}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        async with picker(folder, "--tracing", "--config-text", CONFIG, log=tmp_path / "log") as running:
            await running.pick("hello")
            async with asyncio.timeout(20):
                while len(spans) < 2:
                    await asyncio.sleep(0.05)
    assert set(spans) == {"gateway.request", "gateway.request_orchestration"}
    assert len(set(spans.values())) == 1
