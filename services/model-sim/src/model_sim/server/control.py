"""Every route that generates nothing: models, health, metrics, tokenizer, adapters, sleep, faults."""

import asyncio
from typing import Any

from aiohttp import web

import model_sim
from model_sim import exposition
from model_sim.api import fields
from model_sim.api.errors import ApiError
from model_sim.server import replies
from model_sim.server.replies import SIMULATOR
from model_sim.settings import Settings


def add_routes(router: web.UrlDispatcher, settings: Settings) -> None:
    router.add_get("/v1/models", models)
    for path in ("/health", "/healthz", "/readyz"):
        router.add_get(path, health)
    router.add_get("/ping", ping)
    router.add_post("/ping", ping)
    router.add_get("/version", version)
    router.add_get("/metrics", metrics)
    if settings.enable_admin:
        router.add_get("/admin/faults", faults)
        router.add_post("/admin/faults", order_faults)
        router.add_delete("/admin/faults", clear_faults)


async def models(request: web.Request) -> web.Response:
    return replies.json_value(request.app[SIMULATOR].models.listing())


async def health(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    if simulator.faults.health is not None:
        return web.Response(status=simulator.faults.health)
    if simulator.draining and request.path == "/readyz":
        return web.Response(status=503)
    return web.Response(status=200)


async def ping(request: web.Request) -> web.Response:
    return await health(request)


async def version(_: web.Request) -> web.Response:
    return replies.json_value({"version": model_sim.VLLM_VERSION})


async def metrics(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    match simulator.faults.metrics_mode:
        case "slow":
            await asyncio.sleep(simulator.faults.metrics_delay)
        case "error":
            raise ApiError("An injected fault.", status=500)
        case "malformed":
            text = simulator.metrics_text()
            return _metrics(text[: len(text) // 2] + b'\nvllm:num_requests_waiting{engine="0 broken\n')
    return _metrics(simulator.metrics_text())


def _metrics(text: bytes) -> web.Response:
    return web.Response(body=text, headers={"Content-Type": exposition.CONTENT_TYPE})


async def faults(request: web.Request) -> web.Response:
    return replies.json_value(request.app[SIMULATOR].faults.document())


async def order_faults(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    body: Any = fields.parse_object(await request.read())
    simulator.order_faults(body)
    return replies.json_value(simulator.faults.document())


async def clear_faults(request: web.Request) -> web.Response:
    request.app[SIMULATOR].clear_faults()
    return replies.json_value({})
