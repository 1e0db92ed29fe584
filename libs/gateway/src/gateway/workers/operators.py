"""One operators' port for all workers: figures added up, and each page from a worker that knows it. A shell on aiohttp.

`?worker=N` shows what one worker knows. Without it a page is that of the first worker that is ready; one that it does
not know (404) is asked of the others. Pages in `combined` are made of those of all.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import aiohttp
from aiohttp import web

from gateway.service import page
from gateway.service.exposition import CONTENT_TYPE
from gateway.service.metrics import counters, gauges
from gateway.workers.client import LONGEST_SECONDS, Answer, WorkerClient
from gateway.workers.exposition import Sum
from gateway.workers.supervision import Supervision

Bodies = Sequence[tuple[int, bytes]]
Combine = Callable[[Bodies], bytes]
_EVENT_END: Final = b"\n\n"


@dataclass(frozen=True, slots=True)
class Pages:
    """What of a service is not one worker's alone: pages by path, and of streams of events (their path) the events of
    which those of every worker are shown."""

    combined: Mapping[str, Combine] = field(default_factory=lambda: MappingProxyType({}))
    streams: Mapping[str, frozenset[bytes]] = field(default_factory=lambda: MappingProxyType({}))


class Operators:
    """The routes but for /metrics, probes and /debug, which every service has."""

    def __init__(self, client: WorkerClient, supervision: Supervision, total: Sum, pages: Pages) -> None:
        self._client = client
        self._supervision = supervision
        self._total = total
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        """Of every path."""
        return [web.get("/metrics", self._metrics), web.get("/{path:.*}", self._page)]

    async def _metrics(self, _request: web.Request) -> web.Response:
        found = await self._client.all(self._supervision.running, "/metrics")
        for worker, answer in found.items():
            if worker in self._supervision.running and answer.status == 200:
                self._total.take(worker, answer.body.decode())
        shown = self._total.render() + self._own()
        return web.Response(body=shown.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _page(self, request: web.Request) -> web.StreamResponse:
        written = request.query.get("worker")
        ready = self._supervision.ready or self._supervision.running
        if written is not None and written not in map(str, self._supervision.running):
            return web.json_response({"error": f"no worker {written!r} runs"}, status=404)
        workers = ready if written is None else (int(written),)
        path = request.rel_url.raw_path_qs
        if request.path in self._pages.streams:
            return await self._stream(request, workers, path)
        if request.path in self._pages.combined and written is None:
            return await self._combined(workers, path, self._pages.combined[request.path])
        return await self._first(workers, path)

    async def _first(self, workers: Sequence[int], path: str) -> web.Response:
        answer: Answer | None = None
        for worker in workers:
            answer = await self._client.get(worker, path, LONGEST_SECONDS) or answer
            if answer is not None and answer.status != 404:
                break
        return _passed_on(answer)

    async def _combined(self, workers: Sequence[int], path: str, combine: Combine) -> web.Response:
        found = await self._client.all(workers, path)
        good = [(worker, answer.body) for worker, answer in found.items() if answer.status == 200]
        if not good:
            return _passed_on(next(iter(found.values()), None))
        return web.Response(body=combine(good), content_type="application/json")

    async def _stream(self, request: web.Request, workers: Sequence[int], path: str) -> web.StreamResponse:
        """The events of the first worker, and the named ones of all."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **page.HEADERS})
        await response.prepare(request)
        named = self._pages.streams[request.path]
        try:
            async with asyncio.TaskGroup() as group:
                for at, worker in enumerate(workers):
                    group.create_task(self._feed(response, worker, path, named if at else None))
        except* (ConnectionResetError, aiohttp.ClientError, OSError):
            pass  # the browser is gone, or a worker: a browser asks again by itself
        return response

    async def _feed(self, to: web.StreamResponse, worker: int, path: str, named: frozenset[bytes] | None) -> None:
        async with self._client.stream(worker, path) as events:
            waiting = b""
            async for chunk in events.iter_any():
                *whole, waiting = (waiting + chunk).split(_EVENT_END)
                for event in whole:
                    if named is None or event.partition(b"\n")[0].removeprefix(b"event: ") in named:
                        await to.write(event + _EVENT_END)
        raise ConnectionResetError("the worker ended its stream")

    def _own(self) -> str:
        ready, restarts = self._supervision.ready, self._supervision.restarts
        readiness = [((str(index),), index in ready) for index in range(len(restarts))]
        ends = [((str(index),), count) for index, count in enumerate(restarts)]
        return gauges(
            "pointsman_worker_ready", "1 while the worker takes requests.", ("worker",), readiness
        ) + counters("pointsman_worker_restarts_total", "Times that a worker ended by itself.", ("worker",), ends)


def _passed_on(answer: Answer | None) -> web.Response:
    if answer is None:
        return web.json_response({"error": "no worker answers"}, status=503)
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
