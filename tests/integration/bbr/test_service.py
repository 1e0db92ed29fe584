"""The body-based router as a process: ready, live edits, drain with status 0."""

import asyncio
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from gateway import protos
from tests.collector import collecting
from tests.conftest import free_ports

POOL = protos.load_pool()
ProcessingRequest = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
ProcessingResponse = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingResponse")

MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {{name: a, labels: {{inference.networking.k8s.io/bbr-managed: "true"}}}}
data: {{baseModel: {base}, adapters: "[food]"}}
"""


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read(), "utf-8")


class Router:
    def __init__(self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel, metrics: str) -> None:
        self.process = process
        self.metrics = metrics
        self._channel = channel

    async def headers(self, body: bytes) -> dict[str, str]:
        path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
        encode = ProcessingRequest.SerializeToString
        call = self._channel.stream_stream(path, encode, ProcessingResponse.FromString)()
        message = ProcessingRequest()
        message.request_headers.headers.headers.add(key="content-type", raw_value=b"application/json")
        await call.write(message)
        await call.read()
        message = ProcessingRequest()
        message.request_body.body, message.request_body.end_of_stream = body, True
        await call.write(message)
        reply = await call.read()
        assert await call.code() is grpc.StatusCode.OK  # ended by the router, with its last reply
        options = reply.request_body.response.header_mutation.set_headers
        return {option.header.key: option.header.raw_value.decode() for option in options}


@asynccontextmanager
async def router(folder: Path, *more: str) -> AsyncIterator[Router]:
    grpc_port, health_port, metrics_port = free_ports(3)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bbr", "run", "--config-dir", str(folder), "--host", "127.0.0.1",
        "--secure-serving=false",
        "--grpc-port", str(grpc_port), "--grpc-health-port", str(health_port), "--metrics-port", str(metrics_port),
        *more,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{metrics_port}"
    try:
        async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            while True:
                try:
                    assert await asyncio.to_thread(fetch, f"{url}/readyz") == "ready\n"
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            yield Router(process, channel, f"{url}/metrics")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("transport", ["nghttp2", "grpcio"])
async def test_it_routes_follows_edits_and_ends_with_status_0(tmp_path: Path, transport: str) -> None:
    manifest = tmp_path / "map.yaml"
    manifest.write_text(MAP.format(base="qwen"))
    async with router(tmp_path, "--grpc-transport", transport) as running:
        assert await running.headers(b'{"model":"food"}') == {
            "x-gateway-model-name": "food", "x-gateway-inference-model": "food",
            "x-gateway-base-model-name": "qwen",
        }  # fmt: skip
        manifest.write_text(MAP.format(base="phi"))
        while (await running.headers(b'{"model":"food"}'))["x-gateway-base-model-name"] != "phi":
            await asyncio.sleep(0.05)
        manifest.write_text("kind: [")  # a bad one changes nothing
        await asyncio.sleep(0.3)
        assert (await running.headers(b'{"model":"food"}'))["x-gateway-base-model-name"] == "phi"
        assert "bbr_success_total" in await asyncio.to_thread(fetch, running.metrics)
        running.process.send_signal(signal.SIGTERM)
        assert await running.process.wait() == 0


async def test_plugins_of_the_command_line_replace_the_default_ones(tmp_path: Path) -> None:
    guard = 'guard:fence:{"shadow": true, "deny": [{"name": "secret", "pattern": "(?i)password"}]}'
    kind = 'class:kind:{"headerName": "x-class", "default": "plain", "rules": [{"class": "tools", "tools": true}]}'
    language = 'body-field-to-header:language:{"fieldName": "language", "headerName": "x-language"}'
    async with router(tmp_path, "--plugin", guard, "--plugin", kind, "--plugin", language) as running:
        found = await running.headers(b'{"model": "m", "language": "de", "prompt": "my password", "tools": [{}]}')
        shown = await asyncio.to_thread(fetch, running.metrics)
    assert found == {"x-class": "tools", "x-language": "de"}
    assert 'bbr_guard_total{action="shadow",reason="secret"} 1.0' in shown
    assert 'bbr_class_total{by="rule",class="tools"} 1.0' in shown


async def test_traces_reach_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector, router(tmp_path, "--tracing") as running:
        await running.headers(b'{"model": "m"}')
        async with asyncio.timeout(20):
            while not collector.traces:
                await asyncio.sleep(0.05)
    assert set(collector.traces) == {"gateway.request"}


async def test_a_plugin_that_cannot_be_is_one_line_and_a_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bbr", "--config-dir", str(tmp_path), "--plugin", "gard:x"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    assert process.returncode == 1
    assert error.decode().strip().endswith("unknown plugin type 'gard'; did you mean 'guard'?")
