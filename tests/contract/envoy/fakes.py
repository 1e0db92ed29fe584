"""What stands around a real Envoy in the contract tests: model servers, an endpoint picker that does as it is told,
and the body-based router's real conversation."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from epp.transports.extproc.first_token import FirstToken
from epp.transports.http import answers as http_answers
from epp.transports.http import body as http_body
from gateway import protos
from gateway.extproc.certificates import Tls, credentials
from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Conversation
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.exchange import PROTOCOL_MODES, Decide, Exchange, Proceed
from gateway.extproc.protocol.messages import (
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Reply,
    refuse,
)
from gateway.router.conversation import RouterConversation, Routing, lift
from gateway.router.metrics import Metrics as RouterMetrics
from gateway.routing.catalogue import default_plugins
from gateway.routing.chain import Chain
from gateway.rpc.calls import Call, Method, Service
from gateway.rpc.health import Health
from gateway.rpc.server import Serving, Transport, serving
from gateway.service import clock
from gateway.tenancy.identity import Access
from gateway.wire import protocol
from gateway.wire.errors import Rejection

HOST = "127.0.0.1"
BODY_LIMIT = 128 * 1024 * 1024

OPEN = Access()


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class ModelServer:
    """Answers with what it saw. `status` other than 200 is what it answers instead, with `message` and `headers`.
    `fault` is what it does once it has the request: `reset` breaks the connection, `silent` never answers, `cut` breaks
    off in a stream.
    """

    name: str
    port: int = 0
    left: int = 0  # requests whose client went before the answer was whole
    status: int = 200
    message: str = ""  # of an error
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    delay: float = 0.0  # seconds before an answer
    content_type: str = "application/json"
    padding: int = 0  # extra bytes in a JSON answer
    gap: float = 0.1  # seconds between the events of a stream
    goes_on: asyncio.Event = field(default_factory=_set)  # while it is clear, streams stop after their first event
    first: float = 0.0  # seconds from the head of a stream to its first event
    tls: ssl.SSLContext | None = None
    requests: list[web.Request] = field(default_factory=list)

    def _document(self, request: web.Request, body: bytes) -> dict[str, object]:
        return {
            "server": self.name,
            "method": request.method,
            "path": request.raw_path,
            "headers": {key.lower(): ",".join(request.headers.getall(key)) for key in request.headers},
            "size": len(body),
            "usage": {
                "prompt_tokens": 7,
                "completion_tokens": 5,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            "padding": "x" * self.padding,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer, and notice a client that leaves."""
        try:
            return await self.answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(request)
        await asyncio.sleep(self.delay)
        if self.fault == "silent":
            await asyncio.sleep(60)
        if self.fault == "reset":
            _break_off(request)
            return web.Response()
        if self.status != 200 and request.path != "/health":
            document: dict[str, object] = {"server": self.name, "error": {"message": self.message}}
            return web.json_response(document, status=self.status, headers=self.headers)
        document = self._document(request, body)
        if b'"stream": true' in body:
            return await self._stream(request, document)
        return web.Response(body=json.dumps(document).encode(), headers={"content-type": self.content_type})

    async def _stream(self, request: web.Request, document: dict[str, object]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await asyncio.sleep(self.first)
        for index in range(10):
            await response.write(b"data: " + json.dumps({"server": self.name, "index": index}).encode() + b"\n\n")
            await self.goes_on.wait()
            if self.fault == "cut":
                _break_off(request)
                return response
            await asyncio.sleep(self.gap)
        await response.write(b"data: " + json.dumps(document).encode() + b"\n\ndata: [DONE]\n\n")
        return response

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ModelServer"]:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.port, ssl_context=self.tls).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()


def _break_off(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.close()


@dataclass
class Orders:
    """What the picker is told to do, and what it was asked. `endpoints` None: it picks nothing, but for the pools in
    `by_pool`."""

    endpoints: Sequence[str] | None = None
    by_pool: Mapping[str, Sequence[str]] = field(default_factory=dict)
    legs: Mapping[str, str] = field(default_factory=dict)  # further headers of a pick
    reply: ImmediateReply | None = None
    hangs: bool = False
    is_well: bool = True  # what its health checks are answered
    pools: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    served: list[object] = field(default_factory=list)
    held: int = 0  # answers whose head was held back

    def picks(self, pool: str) -> Sequence[str] | None:
        return self.by_pool.get(pool, self.endpoints)


class Picking:
    """One conversation of the picker."""

    def __init__(self, orders: Orders, pool: str) -> None:
        self._orders = orders
        self._exchange = Exchange(PROTOCOL_MODES)
        self._pool = pool
        orders.pools.append(pool)

    @property
    def is_finished(self) -> bool:
        return False

    @property
    def is_at_rest(self) -> bool:
        return self._exchange.is_at_rest

    @property
    def is_collecting(self) -> bool:
        return self._exchange.is_collecting

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        if isinstance(event, HeadersReceived) and event.direction is Direction.RESPONSE and event.metadata:
            self._orders.served.append(event.metadata[protocol.LB_NAMESPACE].get(protocol.DESTINATION_SERVED))
        replies: list[Reply] = []
        for step in self._exchange.receive(event):
            replies.extend(self._decide(step) if isinstance(step, Decide) else [step])
        return replies

    def _decide(self, request: Decide) -> Sequence[Reply]:
        self._orders.headers.append(request.headers)
        if self._orders.hangs:
            return ()
        if self._orders.reply is not None:
            return self._exchange.decided(self._orders.reply)
        endpoints = self._orders.picks(self._pool)
        if endpoints is None:
            return self._exchange.decided(Proceed(Mutation()))
        picked = ",".join(endpoints)
        metadata = {protocol.LB_NAMESPACE: {protocol.DESTINATION_ENDPOINT: picked, protocol.PICK_ID: "pick-1"}}
        headers = ((protocol.DESTINATION_ENDPOINT, picked), *self._orders.legs.items())
        return self._exchange.decided(Proceed(Mutation(headers, metadata=metadata)))

    def close(self, now: float, *, is_cut: bool = False) -> None: ...


class AccessLog:
    """Collects what Envoy reports."""

    def __init__(self) -> None:
        self._message = protos.message_class(protos.load_pool(), "envoy.service.accesslog.v3.StreamAccessLogsMessage")
        self.entries: list[Any] = []
        self.attempts: list[Any] = []  # those about one attempt that failed

    @property
    def methods(self) -> Mapping[str, Method]:
        return {f"/{protocol.ACCESS_LOG_SERVICE}/StreamAccessLogs": lambda _metadata, call: _LogStream(self, call)}

    def collect(self, message: bytes) -> None:
        for entry in self._message.FromString(message).http_logs.log_entry:
            is_attempt = protocol.ATTEMPT_TAG in entry.common_properties.custom_tags
            (self.attempts if is_attempt else self.entries).append(entry)


@dataclass
class _LogStream:
    log: AccessLog
    call: Call
    is_at_rest: bool = True
    is_collecting: bool = False

    def receive(self, message: bytes) -> None:
        self.log.collect(message)

    def half_closed(self) -> None:
        self.call.send((b"",))
        self.call.end()

    def closed(self, *, is_cut: bool) -> None: ...


class _Silent:
    def violation(self, reason: str) -> None: ...


@dataclass
class HttpPicking:
    """The same orders, asked over HTTP."""

    orders: Orders

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        if protocol.PICKER_HEALTH in headers:
            return web.Response()
        if headers.get(protocol.MODEL_HEADERS) == "check":
            return self._checked(http_body.objection(headers, body))
        pool = headers.get(protocol.POOL_METADATA, "")
        self.orders.pools.append(pool)
        self.orders.headers.append(headers)
        if self.orders.hangs:
            await asyncio.sleep(60)
        lifted = lift(headers, body)
        reply = self.orders.reply or (None if lifted.rejection is None else refuse(lifted.rejection))
        if reply is not None:
            return self._reply(request, reply)
        return web.Response(headers=self._picked(lifted.model, self.orders.picks(pool)))

    def _checked(self, objection: Rejection | None) -> web.Response:
        if objection is None:
            return web.Response()
        return web.Response(status=objection.status, body=objection.body(), content_type="application/json")

    def _reply(self, request: web.Request, reply: ImmediateReply) -> web.Response:
        if reply.status < 500 or request.path == "/v1/models":
            return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)
        error = json.loads(reply.body)["error"]
        return web.Response(headers={protocol.VERDICT: error["code"], protocol.VERDICT_MESSAGE: error["message"]})

    def _picked(self, model: str, endpoints: Sequence[str] | None) -> dict[str, str]:
        if endpoints is None:
            return {}
        models = {protocol.MODEL_NAME: model} if model and http_answers.model_lines(model, None) else {}
        picked = {protocol.DESTINATION_ENDPOINT: ",".join(endpoints), protocol.PICK_ID: "pick-1"}
        return {**picked, **self.orders.legs, **models}

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            yield
        finally:
            await runner.cleanup()


@dataclass
class PickerProcess:
    """The picker's two doors; `stop` is sudden."""

    orders: Orders
    log: AccessLog
    port: int
    stack: AsyncExitStack

    async def stop(self) -> None:
        await self.stack.aclose()


async def start_picker(
    port: int, http_port: int | None = None, *, certificate: Path | None = None, transport: Transport
) -> PickerProcess:
    orders, log, stack = Orders(), AccessLog(), AsyncExitStack()
    how = Serving(credentials(None if certificate is None else Tls(certificate), datetime.now(UTC)), transport)
    processor = ExternalProcessor(
        lambda metadata, _push: _conversation(orders, metadata),
        Codec(),
        clock.monotonic,
        _Silent(),
    )
    services: list[Service] = [processor, Health(lambda: orders.is_well), log]
    await stack.enter_async_context(serving(services, f"{HOST}:{port}", how))
    if http_port is not None:
        await stack.enter_async_context(HttpPicking(orders).serving(http_port))
    return PickerProcess(orders, log, port, stack)


def _conversation(orders: Orders, metadata: Mapping[str, str]) -> Conversation:
    """As the picker opens them: about a request, or about the head of an answer."""
    if protocol.TTFT_LIMIT in metadata and protocol.POOL_METADATA not in metadata:
        orders.held += 1
        return FirstToken(60)
    return Picking(orders, metadata.get(protocol.POOL_METADATA, ""))


@asynccontextmanager
async def router(
    port: int, base_of: Mapping[str, str], transport: Transport, access: Access = OPEN
) -> AsyncIterator[None]:
    """The body-based router."""
    chain = Chain(default_plugins(), RouterMetrics("test"))
    processor = ExternalProcessor(
        lambda _metadata, push: RouterConversation(
            Routing(chain, base_of, access=access), lambda _reading: None, PROTOCOL_MODES, push
        ),
        Codec(),
        clock.monotonic,
        _Silent(),
    )
    async with serving([processor, Health(lambda: True)], f"{HOST}:{port}", Serving(transport=transport)):
        yield


__all__ = ["HOST", "AccessLog", "HeadersReply", "ModelServer", "Orders", "router", "start_picker"]
