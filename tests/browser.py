"""A headless Chromium, driven by its own debugging protocol: open a page, run a script in it, take a picture."""

import asyncio
import base64
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.conftest import required

_ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-port=0", "--hide-scrollbars",
)  # fmt: skip
SECONDS = 60


class Tab:
    """One page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = await self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(SECONDS):
            while not await self.evaluate(f"Boolean({script})"):
                await asyncio.sleep(0.1)

    async def prefer(self, scheme: str) -> None:
        """The colours that the reader prefers: light or dark."""
        await self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self) -> bytes:
        """What the page looks like, as PNG."""
        found = await self._call("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])

    async def _call(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        await self._socket.send_str(orjson.dumps({"id": number, "method": method, "params": parameters}).decode())
        async for message in self._socket:
            answer = orjson.loads(message.data)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
        raise AssertionError("the browser is gone")


@asynccontextmanager
async def opened(url: str, profile: Path, size: tuple[int, int] = (1400, 1000)) -> AsyncIterator[Tab]:
    """A page in a browser with a profile of its own; both end with the body."""
    program = shutil.which("chromium")
    required("Chromium", program, install="apt-get install chromium")
    assert program is not None
    arguments = (*_ARGUMENTS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", url)
    process = await asyncio.create_subprocess_exec(program, *arguments, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(SECONDS):
            port = await _port(process)
            async with aiohttp.ClientSession() as session:
                address = await _address(session, port)
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Tab(socket)
    finally:
        process.terminate()
        await process.wait()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async for line in process.stderr:
        if found := re.search(rb"ws://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise AssertionError("the browser did not start")


async def _address(session: aiohttp.ClientSession, port: int) -> str:
    """Of the page's own socket."""
    while True:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
            for target in await response.json():
                if target["type"] == "page":
                    return str(target["webSocketDebuggerUrl"])
        await asyncio.sleep(0.1)
