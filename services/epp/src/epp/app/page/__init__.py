"""The picker's page for people, at `/` of the operators' port: pools, endpoints, and decisions as they are made.

A shell on aiohttp. It reads what the debug pages show, keeps nothing of its own, and shows no prompt. A browser gets
three files and one stream of server-sent events; no part of it comes from elsewhere, so that it works offline.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from epp.app.debug import Picker
from gateway.service import page
from gateway.service.clock import Clock

# Decisions a second that a stream shows; of more, the latest. Nobody reads faster.
DECISIONS_LIMIT: Final = 20
INTERVAL_SECONDS: Final = 1.0
# Describing 500 endpoints takes 14 ms of the loop: 0.7 % of it at this interval.
POOLS_INTERVAL_SECONDS: Final = 2.0
# Open pages. Each costs what its stream does.
STREAMS_LIMIT: Final = 8
# What a row of the list shows; a click asks for the rest.
_SUMMARY: Final = (
    "at", "request_id", "pick_id", "pool", "model", "target_model", "targets", "margin", "prompt_tokens",
    "matched_tokens", "candidates", "rejection",
)  # fmt: skip
_FOLDER: Final = Path(__file__).parent
_FILES: Final = {"/": _FOLDER / "index.html", "/page.css": page.STYLE, "/page.js": _FOLDER / "page.js"}


class Page:
    """Its files and its streams."""

    def __init__(self, picker: Picker, clock: Clock, wall: Clock) -> None:
        self._picker = picker
        self._clock = clock
        self._wall = wall
        self._streams = 0

    def routes(self) -> list[web.RouteDef]:
        """/, its files, and /debug/stream."""
        return [*page.files(_FILES), web.get("/debug/stream", self._stream)]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._streams >= STREAMS_LIMIT:
            return web.Response(status=503, text=f"{STREAMS_LIMIT} pages are open already\n")
        self._streams += 1
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **page.HEADERS})
            await response.prepare(request)
            await self._feed(response)
        except ConnectionResetError:  # the browser is gone
            pass
        finally:
            self._streams -= 1
        return response

    async def _feed(self, response: web.StreamResponse) -> None:
        shown: str | None = None
        started_at = self._wall() - self._clock()  # once: a decision is known by its time, too
        pools_at = float("-inf")
        while True:
            now = self._clock()
            if now - pools_at >= POOLS_INTERVAL_SECONDS:
                pools_at = now
                await response.write(_event("pools", list(self._picker.pools.describe(now))))
                await response.write(_event("queues", list(self._picker.queues(now))))
            latest = self._picker.decisions.latest(DECISIONS_LIMIT, started_at)
            new = newer_than(shown, latest)
            if new:
                shown = _identity(new[0])
                rows = [{name: each.get(name) for name in _SUMMARY} for each in new]
                await response.write(_event("decisions", rows))
            await asyncio.sleep(INTERVAL_SECONDS)


def newer_than(shown: str | None, latest: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
    """The decisions before the one that was shown last, newest first; all of them where it is not among them."""
    for at, decision in enumerate(latest):
        if _identity(decision) == shown:
            return latest[:at]
    return latest


def _identity(decision: Mapping[str, object]) -> str:
    return f"{decision['at']} {decision['request_id']} {decision['pick_id']}"


def _event(name: str, value: object) -> bytes:
    data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
