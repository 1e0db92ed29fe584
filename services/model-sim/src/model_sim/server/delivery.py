"""The way of an answer to its client: streamed or whole, and what faults change of it.

Without a fault a stream's tokens go out as the engine makes them. Faults delay, slow down, hold, cut or truncate them;
the engine does not notice.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from model_sim.replica.faults import RequestFault
from model_sim.server import replies
from model_sim.server.exchange import Exchange

DEFAULT_TOKENS = 1
"""Where `cut` and `hold` take effect if they do not say."""


Transfer = Callable[[], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What faults change of one answer."""

    released: asyncio.Event
    """Set while no fault holds answers back."""
    delay: float = 0.0
    token_seconds: float = 0.0
    hold_after: int | None = None
    cut_after: int | None = None
    truncates: bool = False
    truncate_after: int | None = None
    """None: all tokens are sent, only the events that end a stream are missing."""


def delivery(drawn: Mapping[str, RequestFault], released: asyncio.Event) -> Delivery:
    """The faults of an answer among those that hit its request."""
    nothing = RequestFault()
    truncate = drawn.get("truncate")
    return Delivery(
        released=released,
        delay=drawn.get("spike", nothing).seconds,
        token_seconds=drawn.get("drip", nothing).seconds,
        hold_after=_tokens(drawn.get("hold")),
        cut_after=_tokens(drawn.get("cut")),
        truncates=truncate is not None,
        truncate_after=None if truncate is None else truncate.after_tokens,
    )


def _tokens(fault: RequestFault | None) -> int | None:
    if fault is None:
        return None
    return DEFAULT_TOKENS if fault.after_tokens is None else fault.after_tokens


async def stream(exchange: Exchange, request: web.Request, response: web.StreamResponse, faults: Delivery) -> None:
    """Send headers at once, tokens as they come and as the faults allow, then the ending."""
    exchange.cut_after = faults.cut_after
    chunked = request.version >= (1, 1)
    if chunked:
        response.enable_chunked_encoding()
    await response.prepare(request)
    if faults.delay:
        await asyncio.sleep(faults.delay)
    opening = exchange.renderer.opening(exchange.choices)
    if opening:
        await response.write(opening)
    is_held = _is_held(exchange, faults)
    exchange.limit = faults.hold_after if is_held else faults.truncate_after
    exchange.attach(request.transport, chunked=chunked)
    exchange.flush()
    if is_held:
        await faults.released.wait()
    await _tokens_sent(exchange, faults)
    exchange.attach(None, chunked=False)
    if exchange.cut_after is not None and request.transport is not None:
        request.transport.abort()
        return
    await response.write(exchange.unsent() + (b"" if faults.truncates else exchange.renderer.ending(exchange.choices)))
    await response.write_eof()


def _is_held(exchange: Exchange, faults: Delivery) -> bool:
    """Whether the fault `hold` concerns this answer: shorter ones pass."""
    after = faults.hold_after
    return after is not None and any(len(choice.answer.tokens) > after for choice in exchange.choices)


async def _tokens_sent(exchange: Exchange, faults: Delivery) -> None:
    """Wait until all tokens are made that the faults let through."""
    if faults.token_seconds:
        await _drip(exchange, faults)
    exchange.limit = faults.truncate_after
    exchange.flush()
    if exchange.limit is None:
        await exchange.done.wait()
        return
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(event.wait()) for event in (exchange.reached, exchange.done)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


async def _drip(exchange: Exchange, faults: Delivery) -> None:
    """Let one token of each choice go in each interval."""
    exchange.limit = max(choice.sent for choice in exchange.choices)
    while not (exchange.done.is_set() and all(choice.sent == choice.ready for choice in exchange.choices)):
        if exchange.limit == faults.truncate_after:
            return
        await asyncio.sleep(faults.token_seconds)
        exchange.limit += 1
        exchange.flush()


async def whole(exchange: Exchange, request: web.Request, faults: Delivery, transfer: Transfer) -> web.StreamResponse:
    """Send the answer in one piece when it is complete and the faults allow it."""
    if faults.delay:
        await asyncio.sleep(faults.delay)
    await exchange.done.wait()
    if _is_held(exchange, faults):
        await faults.released.wait()
    if faults.token_seconds:
        await asyncio.sleep(faults.token_seconds * max(choice.ready for choice in exchange.choices))
    body = exchange.renderer.body(exchange.choices, transfer())
    if faults.cut_after is not None:
        return await replies.half(request, body)
    return replies.json_bytes(body)
