"""One operators' port over two workers: whose page is shown, and what is made of all."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from gateway.service import admin
from gateway.service.worker import Worker
from gateway.workers.client import WorkerClient
from gateway.workers.exposition import Sum
from gateway.workers.operators import Operators, Pages
from gateway.workers.supervision import Supervision

COUNTER = "# HELP c C.\n# TYPE c counter\nc {}\n"


def worker_app(index: int) -> web.Application:
    """Worker 1 alone knows /known; each has a stream of events."""

    async def known(_request: web.Request) -> web.Response:
        return web.Response(status=200 if index else 404, text=f"of {index}", headers={"X-Own": "kept"})

    async def every(_request: web.Request) -> web.Response:
        return web.json_response([index])

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=COUNTER.format(index + 1))

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for name in ("pools", "decisions"):
            await response.write(f"event: {name}\ndata: ".encode())
            await response.write(f"{index}\n\n".encode())
        await asyncio.Event().wait()
        return response

    app = web.Application()
    paths = {"/known": known, "/all": every, "/metrics": metrics, "/stream": stream}
    app.add_routes([web.get(path, handler) for path, handler in paths.items()])
    return app


def listed(bodies: Sequence[tuple[int, bytes]]) -> bytes:
    return json.dumps([each for _, body in bodies for each in json.loads(body)]).encode()


@asynccontextmanager
async def operators(folder: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, Supervision, Sum]]:
    """A client of the port; both workers run and are ready."""
    workers = [Worker(folder, index, 2) for index in range(2)]
    supervision, total = Supervision(2, 0.0), Sum()
    for each in workers:
        supervision.started(each.index, 0.0)
        supervision.seen(each.index, is_ready=True)
    pages = Pages({"/all": listed}, {"/stream": frozenset({b"decisions"})})
    async with AsyncExitStack() as opened:
        for each in workers:
            await opened.enter_async_context(admin.serving(worker_app(each.index), "", 0, each.operators))
        client = await opened.enter_async_context(WorkerClient(workers))
        app = admin.probes(lambda: True, Operators(client, supervision, total, pages).routes())
        port = await opened.enter_async_context(admin.serving(app, "127.0.0.1", 0))
        session = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
        yield await opened.enter_async_context(session), supervision, total


async def text(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as answer:
        return answer.status, await answer.text()


async def test_a_page_is_of_the_first_worker_that_knows_it_or_of_the_one_that_is_named(tmp_path: Path) -> None:
    async with operators(tmp_path) as (session, _, _):
        assert await text(session, "/known") == (200, "of 1")
        assert (await text(session, "/known?worker=0"))[0] == 404
        assert (await text(session, "/known?worker=2"))[0] == 404
        assert (await text(session, "/known?worker=x"))[0] == 404
        async with session.get("/known") as answer:
            assert answer.headers["X-Own"] == "kept"


async def test_what_is_made_of_all_workers_has_the_part_of_each(tmp_path: Path) -> None:
    async with operators(tmp_path) as (session, _, _):
        assert await text(session, "/all") == (200, "[0, 1]")
        assert await text(session, "/all?worker=1") == (200, "[1]")


async def test_figures_are_added_up_and_stay_when_a_worker_is_gone(tmp_path: Path) -> None:
    async with operators(tmp_path) as (session, supervision, total):
        assert "\nc 3.0\n" in (await text(session, "/metrics"))[1]
        supervision.ended(1, 1.0)
        total.end(1)
        shown = (await text(session, "/metrics"))[1]
    assert "\nc 3.0\n" in shown
    assert 'pointsman_worker_restarts_total{worker="1"} 1.0' in shown


async def test_a_stream_has_all_events_of_one_worker_and_the_named_ones_of_the_others(tmp_path: Path) -> None:
    async with operators(tmp_path) as (session, _, _), session.get("/stream") as answer:
        found: set[bytes] = set()
        async with asyncio.timeout(20):
            while len(found) < 3:
                found.add((await answer.content.readuntil(b"\n\n")).strip())
    assert found == {b"event: pools\ndata: 0", b"event: decisions\ndata: 0", b"event: decisions\ndata: 1"}


async def test_without_a_worker_that_runs_the_port_says_so(tmp_path: Path) -> None:
    async with operators(tmp_path) as (session, supervision, _):
        for index in (0, 1):
            supervision.ended(index, 1.0)
        assert (await text(session, "/known"))[0] == 503
