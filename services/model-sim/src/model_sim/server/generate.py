"""The generating endpoints: read, validate, queue, answer. They share one path and differ by parser and renderer."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from aiohttp import web

from gateway.service import clock
from model_sim.api import calls, chat, completions, fields, messages, responses
from model_sim.api.calls import Call, ServedModel
from model_sim.api.fields import Body
from model_sim.replica import faults as fault_settings
from model_sim.replica.faults import Faults, RequestFault
from model_sim.server import delivery, replies
from model_sim.server.delivery import Delivery
from model_sim.server.exchange import Exchange, Renderer
from model_sim.server.replies import SIMULATOR
from model_sim.server.simulator import Simulator
from model_sim.text.tokenizer import Tokenizer

FAULT_HEADER = "x-model-sim-fault"

Parse = Callable[[Body, ServedModel, Tokenizer], Call]
MakeRenderer = Callable[[Call, str, int, Tokenizer], Renderer]


@dataclass(frozen=True, slots=True)
class Api:
    """One generating endpoint."""

    path: str
    id_prefix: str
    required: tuple[str, ...]
    """Fields whose absence is reported before an unknown model is."""
    parse: Parse
    renderer: MakeRenderer


APIS = (
    Api("/v1/chat/completions", "chatcmpl-", ("messages",), chat.parse, chat.ChatRenderer),
    Api("/v1/completions", "cmpl-", ("prompt",), completions.parse, completions.CompletionRenderer),
    Api("/v1/responses", "resp_", ("input",), responses.parse, responses.ResponseRenderer),
    Api("/v1/messages", "msg_", ("messages", "max_tokens"), messages.parse, messages.MessageRenderer),
)


def endpoint(api: Api) -> Callable[[web.Request], Any]:
    """The aiohttp coroutine of one generating endpoint."""

    async def serve(request: web.Request) -> web.StreamResponse:
        simulator = request.app[SIMULATOR]
        body = await replies.json_body(request)
        for name in api.required:
            fields.required(body, name)
        model = simulator.models.find(body.get("model"))
        drawn = _faults(simulator, request, model.name)
        await _before(drawn, request)
        call = api.parse(body, model, simulator.tokenizer)
        del body
        identity = replies.request_id(request)
        planned = simulator.plan(call, identity)
        call = replace(call, prompts=(), echoes=call.echoes if call.echo_prompt else ())  # may be megabytes
        renderer = api.renderer(call, api.id_prefix + identity, int(clock.wall()), simulator.tokenizer)
        exchange = simulator.begin(planned, renderer)
        try:
            return await _answer(request, call, exchange, delivery.delivery(drawn, simulator.released))
        finally:
            simulator.end(exchange)

    return serve


def _faults(simulator: Simulator, request: web.Request, model: str) -> Mapping[str, RequestFault]:
    drawn = simulator.draw_faults(model)
    given = request.headers.get(FAULT_HEADER)
    if given and simulator.settings.enable_fault_headers:
        extra = fault_settings.merged(Faults(), fields.parse_object(given.encode("utf-8", "replace")))
        drawn |= extra.draw(model, Random(0))
    return drawn


async def _before(drawn: Mapping[str, RequestFault], request: web.Request) -> None:
    """Apply the faults that come before a request is parsed."""
    if "reset" in drawn:
        replies.reset(request)
        raise asyncio.CancelledError
    if "not_http" in drawn:
        replies.not_http(request)
        raise asyncio.CancelledError
    if "hang" in drawn:
        await asyncio.Event().wait()  # until the client leaves
    if "first_byte" in drawn:
        await asyncio.sleep(drawn["first_byte"].seconds)
    if "error" in drawn:
        fault = drawn["error"]
        raise replies.FaultError(fault.message, status=fault.status, retry_after=fault.retry_after)


async def _answer(request: web.Request, call: Call, exchange: Exchange, faults: Delivery) -> web.StreamResponse:
    if call.stream:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        with suppress(ConnectionError):
            await delivery.stream(exchange, request, response, faults)
        return response
    settings = request.app[SIMULATOR].settings
    transfer = partial(calls.transfer_params, call, exchange.choices[0], settings.host, settings.port)
    return await delivery.whole(exchange, request, faults, transfer)
