"""Websockets to model servers: only routes that say so open them, and a picker chooses where."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.contract.envoy.conftest import MakeBed, raw
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.gateway_under_test import slice_of

pytestmark = pytest.mark.envoy

REALTIME = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: realtime, annotations: {pointsman.dev/websockets: 'true'}}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /v1/realtime}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
"""


@asynccontextmanager
async def realtime() -> AsyncIterator[int]:
    """A model server that sends each message back."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{message.data} at {request.rel_url}")
        return socket

    app = web.Application()
    app.router.add_get("/v1/realtime", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_websocket_goes_where_the_picker_says_and_only_by_a_route_that_opens_it(
    make_bed: MakeBed,
) -> None:
    async with (
        realtime() as server,
        make_bed(realtime=REALTIME + slice_of("open", server, {"app": "open"}, index=3)) as bed,
    ):
        bed.pick(server)
        url = f"{bed.gateway.url}/v1/realtime?model=open"
        async with asyncio.timeout(20), bed.gateway.session.ws_connect(url) as socket:
            await socket.send_str("hello")
            first = await socket.receive_str()
            await socket.send_str("again")
            second = await socket.receive_str()

        assert (first, second) == ("hello at /v1/realtime?model=open", "again at /v1/realtime?model=open")
        assert bed.orders.pools == ["default/open"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await bed.gateway.session.ws_connect(f"{bed.gateway.url}/v1/chat/completions")
        assert refused.value.status == 404

        bed.pick(bed.one)
        assert (await bed.ask(path="/v1/realtime")).json["size"]
        body = b'{"model": "open"}'
        head = b"POST /v1/completions HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: TLS/1.2"
        head += b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        assert (await raw(bed, head + body))[0] == 200
