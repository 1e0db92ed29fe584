"""What the tests of the simulator's server ask and read."""

import asyncio
import json
from typing import Any

import aiohttp

JSON = {"Content-Type": "application/json"}
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}


async def wait_until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def metric(server, name: str) -> float:
    async with server.http.get(f"{server.url}/metrics") as response:
        lines = [line for line in (await response.text()).splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def events(response: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    text = await response.text()
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
