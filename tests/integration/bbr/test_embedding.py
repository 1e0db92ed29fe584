"""The embedder against a real HTTP server: what it remembers, and what it does when nobody answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from gateway.router.embedding import MOST_WAITING, Embedder, Endpoint, vectors_of
from gateway.service import admin


class Counts:
    def __init__(self) -> None:
        self.results: list[str] = []

    def embedded(self, result: str) -> None:
        self.results.append(result)


class Model:
    """Embeds a text as its length and its number of spaces."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.holds = asyncio.Event()
        self.holds.set()
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked["input"])
        await self.holds.wait()
        data = [{"index": n, "embedding": [len(text), text.count(" ")]} for n, text in enumerate(asked["input"])]
        return web.json_response({"data": data[::-1]}, status=self.status)


@asynccontextmanager
async def embedding(model: Model, counts: Counts, seconds: float = 5.0) -> AsyncIterator[Embedder]:
    app = web.Application()
    app.add_routes([web.post("/v1/embeddings", model.answer)])
    async with admin.serving(app, "127.0.0.1", 0) as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1/embeddings", "e5", seconds)
        embedder = Embedder(endpoint, ["one", "one two"], counts)
        running = asyncio.ensure_future(embedder.run())
        try:
            async with asyncio.timeout(20):
                while not embedder.vectors:
                    await asyncio.sleep(0.01)
            yield embedder
        finally:
            model.holds.set()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def ask(embedder: Embedder, text: str) -> Any:
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    embedder.embed(text, answered.set_result)
    async with asyncio.timeout(20):
        return await answered


async def test_examples_are_embedded_together_and_texts_once() -> None:
    model, counts = Model(), Counts()
    async with embedding(model, counts) as embedder:
        assert embedder.vectors == {"one": (3.0, 0.0), "one two": (7.0, 1.0)}
        assert await ask(embedder, "a b c") == (5.0, 2.0)
        assert await ask(embedder, "a b c") == (5.0, 2.0)
    assert model.asked == [["one", "one two"], ["a b c"]]
    assert counts.results == ["asked", "known"]


async def test_nobody_waits_for_a_slow_endpoint() -> None:
    model, counts = Model(), Counts()
    async with embedding(model, counts, seconds=0.05) as embedder:
        model.holds.clear()
        assert await ask(embedder, "a") is None
    assert counts.results == ["late"]


async def test_with_too_many_questions_the_next_is_not_asked() -> None:
    model, counts = Model(), Counts()
    async with embedding(model, counts) as embedder:
        model.holds.clear()
        for number in range(MOST_WAITING):
            embedder.embed(str(number), lambda _vector: None)
        assert await ask(embedder, "one more") is None
    assert counts.results[0] == "busy"


async def test_an_endpoint_that_fails_gives_no_vector() -> None:
    model, counts = Model(), Counts()
    async with embedding(model, counts) as embedder:
        model.status = 500
        assert await ask(embedder, "a") is None
    assert counts.results == ["failed"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"data": []}', b'{"data": [{"embedding": []}]}', b'{"data": [{"embedding": ["a"]}]}',
     b'{"data": [{"embedding": [1], "index": 3}]}', b'{"data": [1]}'],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        vectors_of(body, 1)
