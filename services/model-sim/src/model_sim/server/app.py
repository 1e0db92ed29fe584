"""The aiohttp application: route table, one middleware, response headers. It holds no state of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from gateway.service import logs
from gateway.wire.protocol import INFERENCE_POD
from model_sim.api.errors import ApiError, phrase
from model_sim.server import control, generate, replies
from model_sim.server.replies import SIMULATOR
from model_sim.server.simulator import Simulator

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logs.get(__name__)


def build(simulator: Simulator) -> web.Application:
    """All routes of one simulator."""
    app = web.Application(middlewares=[_middleware], client_max_size=replies.MAX_BODY_BYTES)
    app[SIMULATOR] = simulator
    for api in generate.APIS:
        app.router.add_post(api.path, generate.endpoint(api))
    control.add_routes(app.router, simulator.settings)
    app.on_response_prepare.append(_stamp)
    return app


async def _stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Headers that say which server answered."""
    settings = request.app[SIMULATOR].settings
    headers = response.headers
    headers["Server"] = "uvicorn"
    headers[INFERENCE_POD] = settings.pod_name
    headers["x-inference-namespace"] = settings.namespace
    headers["x-inference-port"] = str(settings.port)
    given = request.headers.get("x-request-id")
    if given and given.isprintable():
        headers["x-request-id"] = given


@web.middleware
async def _middleware(request: web.Request, handler: Serve) -> web.StreamResponse:
    """Access, drain, counting, and every error in vLLM's shape."""
    simulator = request.app[SIMULATOR]
    started = asyncio.get_running_loop().time()
    route = getattr(request.match_info.route.resource, "canonical", "none")
    try:
        _admit(request, simulator)
        if _is_authorized(request, simulator.settings.api_keys):
            response = await handler(request)
        else:
            response = replies.json_value({"error": "Unauthorized"}, 401)  # as vLLM, for once without the usual shape
    except ApiError as refusal:
        response = replies.error(request, refusal)
    except web.HTTPException as refusal:
        message = refusal.text if refusal.status != 413 else "The request body is too large."
        kind = phrase(refusal.status)
        response = replies.error(request, ApiError(_reason(refusal, message), status=refusal.status, kind=kind))
        if refusal.status == 405 and "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
    except Exception:
        log.exception("request failed", route=route)
        response = replies.error(request, ApiError("Internal server error", status=500))
    elapsed = asyncio.get_running_loop().time() - started
    simulator.traffic.observe(route, request.method if route != "none" else "other", response.status, elapsed)
    return response


def _reason(refusal: web.HTTPException, message: str | None) -> str:
    if refusal.status in (404, 405):
        return phrase(refusal.status)
    return message or phrase(refusal.status)


def _admit(request: web.Request, simulator: Simulator) -> None:
    if (request.content_length or 0) > replies.MAX_BODY_BYTES:
        raise ApiError("The request body is too large.", status=413)
    if simulator.draining and request.path.startswith("/v1"):
        raise ApiError("The server is shutting down.", status=503)


def _is_authorized(request: web.Request, keys: Sequence[str]) -> bool:
    """Whether the path needs no key or the request has one."""
    if not keys or not request.path.startswith("/v1"):
        return True
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and key in keys
