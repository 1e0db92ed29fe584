"""Envoy under `envoy/run`, as in containers: SIGTERM lets the answers in flight end."""

import asyncio
import json
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import free_ports
from tests.contract.envoy.fakes import HOST, ModelServer

pytestmark = pytest.mark.envoy


def bootstrap(admin: int, port: int, upstream: int) -> str:
    """A listener and a cluster, nothing else."""
    address = "{socket_address: {address: 127.0.0.1, port_value: %d}}"
    http = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    return f"""
admin: {{address: {address % admin}}}
static_resources:
  listeners:
  - name: gateway
    address: {address % port}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": {http}
          stat_prefix: gateway
          route_config:
            virtual_hosts: [{{name: a, domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{cluster: a}}}}]}}]
          http_filters: [{{name: router, typed_config: {{"@type": {router}}}}}]
  clusters:
  - name: a
    type: STATIC
    load_assignment:
      cluster_name: a
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {address % upstream}}}}}]}}]
"""


async def connected(url: str, session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def refused(port: int) -> None:
    """Wait until nobody takes a connection."""
    async with asyncio.timeout(20):
        with suppress(OSError):
            while True:
                _, writer = await asyncio.open_connection(HOST, port)
                writer.close()
                await asyncio.sleep(0.05)


async def test_sigterm_lets_a_stream_end_and_takes_no_new_connection(
    envoy_binary: Path, root: Path, tmp_path: Path
) -> None:
    admin, port = free_ports(2)
    async with ModelServer("one", gap=0).serving() as server, aiohttp.ClientSession() as session:
        (tmp_path / "envoy.yaml").write_text(bootstrap(admin, port, server.port))
        arguments = [
            str(root / "envoy" / "run"),
            str(admin),
            "30",
            str(envoy_binary),
            "-c",
            str(tmp_path / "envoy.yaml"),
        ]
        process = subprocess.Popen([*arguments, "--disable-hot-restart", "--log-level", "error"])
        try:
            await connected(f"http://{HOST}:{port}/", session)
            server.goes_on.clear()
            body = json.dumps({"stream": True})
            async with session.post(f"http://{HOST}:{port}/v1/completions", data=body) as answer:
                await answer.content.readuntil(b"\n\n")
                process.send_signal(signal.SIGTERM)
                await refused(port)
                server.goes_on.set()
                rest = await answer.content.read()
            status = await asyncio.to_thread(process.wait, 20)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGTERM)
                process.wait(20)

    assert rest.endswith(b"data: [DONE]\n\n")
    assert status == 0
