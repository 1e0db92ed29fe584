"""A client of workers' operators' pages, over their Unix sockets. A shell on aiohttp's client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import aiohttp

from gateway.service.worker import Worker

# A look at a worker, and a page of it: figures of thousands of endpoints take a while on a busy host.
LOOK_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 10.0
# `GET /drain/SERVER` waits for up to fifteen minutes.
LONGEST_SECONDS: Final = 910.0


# Of one connection, and none of whoever passes an answer on.
_OF_CONNECTION: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` are those that go on with it."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class WorkerClient:
    """A client for each worker. Opened and closed with `async with`."""

    def __init__(self, workers: Iterable[Worker]) -> None:
        self._sessions = {each.index: _session(each) for each in workers}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for session in self._sessions.values():
            await session.close()

    async def get(self, worker: int, path: str, seconds: float = ANSWER_SECONDS) -> Answer | None:
        """One answer; None where it gives none."""
        try:
            limit = aiohttp.ClientTimeout(total=seconds)
            async with self._sessions[worker].get(f"http://worker{path}", timeout=limit) as response:
                passed = {name: value for name, value in response.headers.items() if name.lower() not in _OF_CONNECTION}
                return Answer(response.status, await response.read(), passed)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def all(self, workers: Iterable[int], path: str, seconds: float = ANSWER_SECONDS) -> Mapping[int, Answer]:
        """What each of them answers that does."""
        wanted = tuple(workers)
        found = await asyncio.gather(*(self.get(each, path, seconds) for each in wanted))
        return {each: answer for each, answer in zip(wanted, found, strict=True) if answer is not None}

    @contextlib.asynccontextmanager
    async def stream(self, worker: int, path: str) -> AsyncIterator[aiohttp.StreamReader]:
        """An answer that does not end. Raises aiohttp.ClientError and OSError."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=LOOK_SECONDS)
        async with self._sessions[worker].get(f"http://worker{path}", timeout=limit) as response:
            response.raise_for_status()
            yield response.content


def _session(worker: Worker) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(worker.operators)), auto_decompress=False)
