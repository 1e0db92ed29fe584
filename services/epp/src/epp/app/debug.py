"""The picker's debug pages over HTTP: pools, decisions, and why. A shell on aiohttp; no body is kept or shown."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson
from aiohttp import web

from gateway.service.clock import Clock

DECISIONS_DEFAULT = 50
DECISIONS_LIMIT = 1000


class Picker(Protocol):
    """What people look into."""

    @property
    def pools(self) -> "Pools":
        """The endpoints."""

    @property
    def decisions(self) -> "Decisions":
        """The latest decisions."""

    def queues(self, now: float) -> Sequence[Mapping[str, object]]:
        """Each pool with what waits before it."""


class Pools(Protocol):
    """What is known of endpoints."""

    def describe(self, now: float) -> Sequence[Mapping[str, object]]:
        """Each pool with its endpoints."""


class Decisions(Protocol):
    """What was decided."""

    def latest(self, count: int, started_at: float) -> Sequence[Mapping[str, object]]:
        """The last decisions, newest first; `started_at` is where the picker's times count from."""

    @property
    def caching(self) -> "Caching":
        """Where prompts leave the caches."""

    def explain(self, request_id: str, started_at: float) -> Mapping[str, object] | None:
        """One decision in full."""


class Caching(Protocol):
    """What was expected of prefix caches, and what they held."""

    def describe(self, started_at: float) -> Sequence[Mapping[str, object]]:
        """Each pool."""


def routes(picker: Picker, clock: Clock, wall: Clock) -> list[web.RouteDef]:
    """/debug/pools, …/queues, …/cache, …/decisions?n=50, …/explain/REQUEST_ID; times are the wall clock's."""

    def started_at() -> float:
        return wall() - clock()

    async def pools(_request: web.Request) -> web.Response:
        return _json({"pools": list(picker.pools.describe(clock()))})

    async def queues(_request: web.Request) -> web.Response:
        return _json({"queues": list(picker.queues(clock()))})

    async def cache(_request: web.Request) -> web.Response:
        return _json({"pools": list(picker.decisions.caching.describe(started_at()))})

    async def decisions(request: web.Request) -> web.Response:
        wanted = request.query.get("n", str(DECISIONS_DEFAULT))
        if not wanted.isdecimal():
            return _json({"error": f"n: expected a number, got {wanted!r}"}, 400)
        count = DECISIONS_LIMIT if len(wanted) > len(str(DECISIONS_LIMIT)) else int(wanted)
        return _json({"decisions": list(picker.decisions.latest(min(count, DECISIONS_LIMIT), started_at()))})

    async def explain(request: web.Request) -> web.Response:
        found = picker.decisions.explain(request.match_info["request_id"], started_at())
        return _json({"error": "no decision with this request id is kept"}, 404) if found is None else _json(found)

    return [
        web.get("/debug/pools", pools),
        web.get("/debug/queues", queues),
        web.get("/debug/cache", cache),
        web.get("/debug/decisions", decisions),
        web.get("/debug/explain/{request_id:.+}", explain),
    ]


def _json(value: object, status: int = 200) -> web.Response:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str)
    return web.Response(body=body + b"\n", status=status, content_type="application/json")
