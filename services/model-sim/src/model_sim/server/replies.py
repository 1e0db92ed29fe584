"""Common parts of the routes: reading bodies, writing JSON, errors in vLLM's shape."""

import asyncio
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from model_sim.api import fields
from model_sim.api.errors import ApiError, anthropic_error_body, error_body
from model_sim.api.fields import Body
from model_sim.server.simulator import Simulator

SIMULATOR = web.AppKey("simulator", Simulator)
MAX_BODY_BYTES = 64 * 1024 * 1024
"""A prompt of a million tokens is 5 MB; images come inline. Beyond this: 413."""
MAX_REQUEST_ID_LENGTH = 256
"""Ids are echoed and kept for each choice; a longer one is replaced."""
JSON = {"Content-Type": "application/json"}


class FaultError(ApiError):
    """An error that a fault sets."""

    def __init__(self, message: str, *, status: int, retry_after: float | None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


async def json_body(request: web.Request) -> Body:
    """The body as a JSON object; vLLM refuses other media types."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise fields.invalid("Unsupported Media Type: Only 'application/json' is allowed")
    return fields.parse_object(await request.read())


def json_bytes(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers={**JSON, **(headers or {})})


def json_value(value: Any, status: int = 200) -> web.Response:
    return json_bytes(orjson.dumps(value), status)


def error(request: web.Request, refusal: ApiError) -> web.Response:
    """A refusal as the client of this path expects it."""
    retry_after = getattr(refusal, "retry_after", None)
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    if request.path.startswith("/v1/messages"):
        return json_bytes(anthropic_error_body(refusal.status, refusal.message), refusal.status, headers)
    return json_bytes(error_body(refusal.status, refusal.message, refusal.param, refusal.kind), refusal.status, headers)


def request_id(request: web.Request) -> str:
    """The client's id, if it is one, or a new one."""
    given = request.headers.get("x-request-id", "")
    return given if given and len(given) <= MAX_REQUEST_ID_LENGTH and given.isprintable() else uuid4().hex


def reset(request: web.Request) -> None:
    """Break the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()


def not_http(request: web.Request) -> None:
    """Answer with bytes of another protocol and close the connection."""
    if isinstance(request.transport, asyncio.Transport):
        request.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        request.transport.close()


async def half(request: web.Request, whole: bytes) -> web.StreamResponse:
    """Promise all of a body, send half of it and break the connection."""
    response = web.StreamResponse(headers=JSON)
    response.content_length = len(whole)
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    reset(request)
    return response
