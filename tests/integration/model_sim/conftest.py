"""A simulator on a free port of 127.0.0.1, in the test's own event loop."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from model_sim.command_line import parsing
from model_sim.replica.settings import Settings
from model_sim.server import runtime
from model_sim.server.simulator import Simulator


@dataclass
class Running:
    """A simulator that listens, and a client session."""

    simulator: Simulator
    url: str
    http: aiohttp.ClientSession

    def is_empty(self) -> bool:
        return all(engine.is_empty for engine in self.simulator.driver.engines) and not self.simulator.driver.in_flight

    async def chat(self, **body: object) -> dict[str, object]:
        """One chat completion, not streamed."""
        message = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, **body}
        async with self.http.post(f"{self.url}/v1/chat/completions", json=message) as response:
            assert response.status == 200, await response.text()
            answer: dict[str, object] = await response.json()
            return answer


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Running]:
    """Serve a command line in this loop."""
    settings = parsing.parse(
        ["serve", "sim-model", "--host", "127.0.0.1", "--port", "0", "--pod-name", "pod-a", *arguments], {}
    )
    assert isinstance(settings, Settings)
    async with AsyncExitStack() as stack:
        simulator = await runtime.build(settings, runtime.tokenizer_of(settings), stack)
        port = await runtime.start(simulator, stack)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Running(simulator, f"http://127.0.0.1:{port}", session)


@pytest.fixture
def serve() -> Callable[..., object]:
    """`async with serve("--profile", "demo") as server:`."""
    return running
