"""The picker's page over HTTP: its files, and its stream of events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from epp.app import debug
from epp.app.page import STREAMS_LIMIT, Page, newer_than
from epp.picking.picker import Picker
from gateway.service import admin, clock
from gateway.service.metrics import Registry
from tests.integration.epp.page.pickers import decide, picker


@asynccontextmanager
async def served(made: Picker) -> AsyncIterator[aiohttp.ClientSession]:
    page = Page(made, clock.monotonic, clock.wall)
    routes = [*debug.routes(made, clock.monotonic, clock.wall), *page.routes()]
    app = admin.application(Registry(), lambda: True, routes)
    async with (
        admin.serving(app, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """Each event's name and value."""
    name = ""
    async for line in response.content:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, orjson.loads(line[6:])


async def test_the_page_needs_nothing_from_elsewhere() -> None:
    async with served(picker()) as session:
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
            async with session.get(path) as response:
                text = await response.text()
                assert (response.status, response.content_type) == (200, kind)
                assert response.headers["content-security-policy"].startswith("default-src 'self'")
                assert "https://" not in text
                assert "innerHTML" not in text


async def test_a_stream_begins_with_what_is_there_and_goes_on_with_new_decisions_only() -> None:
    made = picker()
    decide(made, "first", "m", 1.0)
    async with served(made) as session, session.get("/debug/stream") as response, asyncio.timeout(30):
        stream = events(response)
        seen = {name: value async for name, value in _until(stream, "decisions")}
        decide(made, "second", "m", 2.0)
        later = {name: value async for name, value in _until(stream, "decisions")}

    assert [pool["pool"] for pool in seen["pools"]] == ["default/qwen"]
    assert [each["request_id"] for each in seen["decisions"]] == ["first"]
    assert [each["request_id"] for each in later["decisions"]] == ["second"]
    assert "secret" not in str(seen) + str(later)


async def _until(stream: AsyncIterator[tuple[str, Any]], last: str) -> AsyncIterator[tuple[str, Any]]:
    async for name, value in stream:
        yield name, value
        if name == last:
            return


async def test_pages_beyond_the_limit_are_refused_until_one_is_closed() -> None:
    async with served(picker()) as session:
        opened = [await session.get("/debug/stream") for _ in range(STREAMS_LIMIT)]
        async with session.get("/debug/stream") as refused:
            assert refused.status == 503
        opened[0].close()
        async with asyncio.timeout(30):
            while True:
                async with session.get("/debug/stream") as response:
                    if response.status == 200:
                        break
                await asyncio.sleep(0.1)
        for each in opened:
            each.close()


def test_decisions_are_new_up_to_the_one_that_was_shown_last() -> None:
    decisions = [{"at": str(number), "request_id": "", "pick_id": None} for number in (3, 2, 1)]

    assert newer_than(None, decisions) == decisions
    assert newer_than("1  None", decisions) == decisions[:2]
    assert newer_than("3  None", decisions) == []
    assert newer_than("0  None", decisions) == decisions, "the ring has moved on"
