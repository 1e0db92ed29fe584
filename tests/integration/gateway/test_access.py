"""An operators' port that wants a token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.service import access, admin
from gateway.service.metrics import Registry

TOKEN = "the token"


async def _secret(_request: web.Request) -> web.Response:
    return web.Response(text="secret")


@asynccontextmanager
async def served() -> AsyncIterator[aiohttp.ClientSession]:
    app = admin.application(
        Registry(), lambda: True, [web.get("/", _secret), web.get("/debug/x", _secret)], token=TOKEN
    )
    jar = aiohttp.CookieJar(unsafe=True)  # of an address instead of a name
    async with (
        admin.serving(app, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar) as session,
    ):
        yield session


async def status(session: aiohttp.ClientSession, path: str, **headers: str) -> int:
    async with session.get(path, headers=headers) as response:
        return response.status


async def test_only_probes_and_metrics_are_open() -> None:
    async with served() as session:
        assert {path: await status(session, path) for path in ("/healthz", "/readyz", "/metrics")} == {
            "/healthz": 200, "/readyz": 200, "/metrics": 200,
        }  # fmt: skip
        for path in ("/", "/debug", "/debug/x", "/absent"):
            assert await status(session, path) == 401


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", 200), (f"bearer  {TOKEN} ", 200), ("Bearer wrong", 401), (TOKEN, 401),
        (f"Basic {TOKEN}", 401), ("Bearer \udcff", 401), ("", 401),
    ],
)  # fmt: skip
async def test_a_program_brings_the_token_as_a_bearer(authorization: str, expected: int) -> None:
    async with served() as session:
        assert await status(session, "/debug/x", Authorization=authorization) == expected


async def test_a_browser_gets_a_form_and_for_the_token_a_cookie_that_is_not_the_token() -> None:
    async with served() as session:
        async with session.get("/", headers={"Accept": "text/html"}) as response:
            assert (response.status, response.content_type) == (401, "text/html")
            assert "<form" in await response.text()
        async with session.post("/token", data={"token": "wrong"}) as response:
            assert (response.status, response.cookies) == (401, {})
        async with session.post("/token", data={"token": TOKEN}) as response:
            assert (response.status, await response.text()) == (200, "secret")
            (cookie,) = session.cookie_jar
            assert cookie["httponly"]
            assert cookie["samesite"] == "Strict"
            assert TOKEN not in cookie.value
        assert await status(session, "/debug/x") == 200


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff", "decode")])
def test_a_file_without_a_token_is_an_error(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(access.TokenError, match=words):
        access.token_in(file)


def test_the_first_line_is_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN} \nsecond\n")

    assert access.token_in(tmp_path / "token") == TOKEN
    assert access.token_in(None) is None
