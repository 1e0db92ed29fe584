"""The page for people at `/` of the operators' port: what is routed where, how much, and what is wrong.

A shell on aiohttp, read-only. It shows /status, the routes that Envoy has, and Envoy's own figures; of requests it
knows counts alone. The pickers' own pages show their endpoints and decisions.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from controlplane.page.routes import Tree, shown
from controlplane.page.traffic import Traffic
from controlplane.plan.planning import Port
from gateway.service import page

_FOLDER: Final = Path(__file__).parent
_FILES: Final = {"/": _FOLDER / "index.html", "/page.css": page.STYLE, "/page.js": _FOLDER / "page.js"}


class Page:
    """Its files, and what they ask for."""

    def __init__(self, ports: Callable[[], tuple[Port, ...]], traffic: Traffic, pickers: Sequence[str]) -> None:
        self._ports = ports
        self._traffic = traffic
        self._pickers = pickers
        self._shown: tuple[tuple[Port, ...], Tree] | None = None

    def routes(self) -> list[web.RouteDef]:
        """/, its files, /page/routes and /page/traffic."""
        return [
            *page.files(_FILES),
            web.get("/page/routes", self._show_routes),
            web.get("/page/traffic", self._show_traffic),
        ]

    async def _show_routes(self, _request: web.Request) -> web.Response:
        ports = self._ports()
        if self._shown is None or self._shown[0] is not ports:
            self._shown = ports, await asyncio.to_thread(shown, ports)  # of thousands of routes
        return _json({**self._shown[1], "pickers": self._pickers})

    async def _show_traffic(self, _request: web.Request) -> web.Response:
        return _json(await self._traffic.latest())


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
