"""Envoy's own traces, and the context that picker and model server get."""

import asyncio

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from controlplane.options import Options
from tests.contract.envoy.conftest import MakeBed
from tests.contract.envoy.gateway_under_test import HOST

pytestmark = pytest.mark.envoy

TRACE = "0af7651916cd43dd8448eb211c80319c"
EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"


class Collector:
    """Takes traces over gRPC."""

    def __init__(self) -> None:
        self.traces: set[str] = set()

    async def export(self, sent: ExportTraceServiceRequest, _context: object) -> bytes:
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                self.traces.update(span.trace_id.hex() for span in scope.spans)
        return b""

    async def start(self) -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(self.export, ExportTraceServiceRequest.FromString)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(EXPORT, {"Export": handler})])
        port = server.add_insecure_port(f"{HOST}:0")
        await server.start()
        return server, port


async def test_a_callers_trace_goes_through_envoy_to_picker_and_model_server(make_bed: MakeBed) -> None:
    collector = Collector()
    server, port = await collector.start()
    try:
        async with make_bed(Options(tracing_collector=(HOST, port), tracing_sampling=100.0)) as bed:
            bed.pick(bed.one)
            answer = await bed.ask(headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
            assert answer.status == 200
            headers = answer.json["headers"]
            assert isinstance(headers, dict)
            assert headers["traceparent"].split("-")[1] == TRACE
            assert bed.orders.headers[-1]["traceparent"].split("-")[1] == TRACE
            async with asyncio.timeout(20):
                while TRACE not in collector.traces:
                    await asyncio.sleep(0.1)
    finally:
        await server.stop(None)
