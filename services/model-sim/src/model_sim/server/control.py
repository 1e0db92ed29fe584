"""The routes that do not generate: models, health, metrics, tokenizer, adapters, sleep, faults."""

import asyncio
from typing import Any

from aiohttp import web

import model_sim
from gateway.service import clock
from gateway.service.exposition import CONTENT_TYPE
from model_sim.api import chat, embeddings, fields, messages
from model_sim.api.errors import ApiError
from model_sim.replica.settings import LoraModule, Settings
from model_sim.server import replies
from model_sim.server.replies import SIMULATOR

UNLOAD_POLL_SECONDS = 0.005
"""About one step of an engine: a request leaves when a step ends."""


def add_routes(router: web.UrlDispatcher, settings: Settings) -> None:
    router.add_get("/v1/models", models)
    for path in ("/health", "/healthz", "/readyz"):
        router.add_get(path, health)
    router.add_get("/ping", ping)
    router.add_post("/ping", ping)
    router.add_get("/version", version)
    router.add_get("/metrics", metrics)
    router.add_get("/load", load)
    router.add_post("/tokenize", tokenize)
    router.add_post("/detokenize", detokenize)
    router.add_post("/v1/embeddings", embed)
    router.add_post("/v1/messages/count_tokens", count_tokens)
    router.add_post("/v1/load_lora_adapter", load_adapter)
    router.add_post("/v1/unload_lora_adapter", unload_adapter)
    router.add_post("/reset_prefix_cache", reset_prefix_cache)
    router.add_post("/sleep", sleep)
    router.add_post("/wake_up", wake_up)
    router.add_get("/is_sleeping", is_sleeping)
    if settings.enable_admin:
        router.add_get("/admin/faults", faults)
        router.add_post("/admin/faults", set_faults)
        router.add_delete("/admin/faults", clear_faults)


async def models(request: web.Request) -> web.Response:
    return replies.json_value(request.app[SIMULATOR].models.listing())


async def health(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    status = simulator.faults_in_force.health
    if status is not None:
        return web.Response(status=status)
    if simulator.draining and request.path == "/readyz":
        return web.Response(status=503)
    return web.Response(status=200)


async def ping(request: web.Request) -> web.Response:
    return await health(request)


async def version(_: web.Request) -> web.Response:
    return replies.json_value({"version": model_sim.VLLM_VERSION})


async def load(request: web.Request) -> web.Response:
    return replies.json_value({"server_load": request.app[SIMULATOR].driver.in_flight})


async def tokenize(request: web.Request) -> web.Response:
    """A prompt or a conversation as token ids."""
    simulator = request.app[SIMULATOR]
    body = await replies.json_body(request)
    model = simulator.models.find(body.get("model"))
    if body.get("messages") is not None:
        prompt = chat.parse({"messages": body["messages"], "tools": body.get("tools")}, model, simulator.tokenizer)
        tokens = list(prompt.prompts[0])
    else:
        tokens = simulator.tokenizer.encode(fields.text(body, "prompt") or fields.required(body, "prompt"))
    strings = simulator.tokenizer.pieces(tokens) if fields.flag(body, "return_token_strs") else None
    return replies.json_value(
        {
            "count": len(tokens),
            "max_model_len": simulator.settings.max_model_len,
            "tokens": tokens,
            "token_strs": strings,
        }
    )


async def detokenize(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    body = await replies.json_body(request)
    simulator.models.find(body.get("model"))
    fields.required(body, "tokens")
    tokens = fields.token_ids("tokens", fields.sequence(body, "tokens") or [])
    return replies.json_value({"prompt": "".join(simulator.tokenizer.pieces(tokens))})


async def embed(request: web.Request) -> web.Response:
    """Vectors; they take no engine time."""
    simulator = request.app[SIMULATOR]
    body = await replies.json_body(request)
    model = simulator.models.find(body.get("model"))
    items, tokens = embeddings.embed(body, simulator.tokenizer, model.max_model_len)
    usage = {
        "prompt_tokens": tokens,
        "total_tokens": tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
    }
    return replies.json_value(
        {
            "id": f"embd-{replies.request_id(request)}",
            "object": "list",
            "created": int(clock.wall()),
            "model": model.name,
            "data": items,
            "usage": usage,
        }
    )


async def count_tokens(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    body = await replies.json_body(request)
    simulator.models.find(body.get("model"))
    return replies.json_value({"input_tokens": messages.count_tokens(body, simulator.tokenizer)})


async def load_adapter(request: web.Request) -> web.Response:
    """Register an adapter; reading it from disk takes its time."""
    simulator = request.app[SIMULATOR]
    body = await replies.json_body(request)
    module = LoraModule(fields.text(body, "lora_name") or "", fields.text(body, "lora_path") or "")
    simulator.models.check_load(module, in_place=fields.flag(body, "load_inplace"))
    await asyncio.sleep(simulator.settings.profile.adapter_load_from_disk)
    simulator.models.load(module)
    for engine in simulator.driver.engines:
        engine.adapters.preload(module.name)
    return web.Response(text=f"Success: LoRA adapter '{module.name}' added successfully.")


async def unload_adapter(request: web.Request) -> web.Response:
    """Forget an adapter: no new request for it, and its slot is free once the running ones are done."""
    simulator = request.app[SIMULATOR]
    body = await replies.json_body(request)
    name = fields.text(body, "lora_name") or ""
    simulator.models.unload(name)
    for engine in simulator.driver.engines:
        while engine.has(name):  # noqa: ASYNC110 - an aborted request leaves when a step ends, which nobody announces
            await asyncio.sleep(UNLOAD_POLL_SECONDS)
        if name not in simulator.models.adapters:
            engine.adapters.forget(name)
    return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")


async def reset_prefix_cache(request: web.Request) -> web.Response:
    return replies.json_value({"success": request.app[SIMULATOR].reset_prefix_cache()})


async def sleep(request: web.Request) -> web.Response:
    request.app[SIMULATOR].sleep()
    return web.Response(status=200)


async def wake_up(request: web.Request) -> web.Response:
    request.app[SIMULATOR].wake()
    return web.Response(status=200)


async def is_sleeping(request: web.Request) -> web.Response:
    return replies.json_value({"is_sleeping": request.app[SIMULATOR].is_sleeping})


async def metrics(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    match simulator.faults_in_force.metrics_mode:
        case "slow":
            await asyncio.sleep(simulator.faults.metrics_delay)
        case "error":
            raise ApiError("An injected fault.", status=500)
        case "malformed":
            text = simulator.metrics_text()
            return _metrics(text[: len(text) // 2] + b'\nvllm:num_requests_waiting{engine="0 broken\n')
    return _metrics(simulator.metrics_text())


def _metrics(text: bytes) -> web.Response:
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})


async def faults(request: web.Request) -> web.Response:
    return replies.json_value(request.app[SIMULATOR].faults.document())


async def set_faults(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    body: Any = fields.parse_object(await request.read())
    simulator.set_faults(body)
    return replies.json_value(simulator.faults.document())


async def clear_faults(request: web.Request) -> web.Response:
    request.app[SIMULATOR].clear_faults()
    return replies.json_value({})
