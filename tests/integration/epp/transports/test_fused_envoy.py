"""A fused picker that does not know a body, with the real Envoy: it asks for the body, and may replace it."""

import asyncio
import io
from pathlib import Path

import aiohttp
import pytest

from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.fused import FusedConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.route import Route
from gateway.extproc.codec import Codec
from gateway.extproc.processor import ExternalProcessor
from gateway.router.kept import KeptBodies
from gateway.rpc.server import Serving, serving
from gateway.service import admin, clock
from tests.conftest import free_ports
from tests.integration.epp.transports.plain_envoy import cluster, echo_server, envoy
from tests.integration.epp.transports.test_envoy_modes import Counts, FakePicker, http_filter

pytestmark = pytest.mark.envoy


async def test_a_body_that_is_not_known_is_asked_for_and_may_change(envoy_binary: Path, tmp_path: Path) -> None:
    picker, kept, (port,) = FakePicker(), KeptBodies("a"), free_ports(1)
    streams = OpenStreams(picker, lambda: True)
    processor = ExternalProcessor(
        lambda _, push: FusedConversation(
            lambda requests, late: PickConversation(Route(), requests, streams, late), picker, kept, push
        ),
        Codec(), clock.monotonic, Counts(),
    )  # fmt: skip
    async with (
        serving([processor], "127.0.0.1:0", Serving()) as grpc,
        admin.serving(echo_server(), "127.0.0.1", 0) as upstream,
        envoy(
            envoy_binary, tmp_path, {port: http_filter("NONE", "NONE")},
            [cluster("picker", grpc, http2=True), cluster("upstream", upstream)],
        ),
        aiohttp.ClientSession() as client,
    ):  # fmt: skip

        async def post(body: bytes) -> tuple[int, bytes, str]:
            async with client.post(f"http://127.0.0.1:{port}/v1/completions", data=io.BytesIO(body)) as answer:
                return answer.status, await answer.read(), answer.headers.get("x-destination", "")

        async with asyncio.timeout(20):
            while True:
                try:
                    await post(b"")
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        for size in (1, 1000, 300_000):
            for new in (None, b"shorter", b"longer" * 100_000):
                picker.rewrites = new
                sent = b"x" * size
                assert await post(sent) == (200, sent if new is None else new, "10.0.0.1:80")
                assert picker.requests[-1].body == sent
