"""Asks an OpenAI-style embeddings endpoint, in bounded time, and remembers what it said. A shell on aiohttp.

A question that waits too long, finds too many before it or gets no good answer is answered with None: nobody waits for
a slow embedder. The examples that plugins compare with are embedded in the background, again and again until they are
known.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
import orjson

from gateway.service import logs

log = logs.get(__name__)

Vector = Sequence[float]
# Texts whose vectors are kept: 1000 numbers each make 32 MB.
MOST_KNOWN: Final = 4096
# Questions that wait at once; with more the endpoint is too slow to be waited for.
MOST_WAITING: Final = 64
LARGEST_ANSWER: Final = 4 * 1024 * 1024
EXAMPLES_AT_ONCE: Final = 64
RETRY_SECONDS: Final = 5.0
EXAMPLE_SECONDS: Final = 30.0  # a model that is just loading takes long


class Counts(Protocol):
    def embedded(self, result: str) -> None:
        """One question was answered: known, asked, busy, late or failed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is the whole address, such as `http://pool:8000/v1/embeddings`."""

    url: str
    model: str
    seconds: float = 0.1


class Embedder:
    """See the module's docstring. `run` must run while questions are asked."""

    def __init__(self, endpoint: Endpoint, examples: Sequence[str], counts: Counts) -> None:
        self._endpoint = endpoint
        self._examples = tuple(dict.fromkeys(examples))
        self._counts = counts
        self.vectors: dict[str, Vector] = {}  # of the examples
        self._known: OrderedDict[str, Vector] = OrderedDict()
        self._waiting = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Answer questions until cancelled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            self._session, self._tasks = session, tasks
            try:
                await self._embed_examples(session)
                await asyncio.Event().wait()
            finally:
                self._session = self._tasks = None

    def embed(self, text: str, answer: Callable[[Vector | None], None]) -> None:
        """Answer once: at once if the text is known, else soon."""
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
            self._counts.embedded("known")
            answer(known)
        elif self._session is None or self._tasks is None or self._waiting >= MOST_WAITING or not self.vectors:
            self._counts.embedded("busy")
            answer(None)
        else:
            self._waiting += 1
            self._tasks.create_task(self._answer(self._session, text, answer))

    async def _answer(self, session: aiohttp.ClientSession, text: str, answer: Callable[[Vector | None], None]) -> None:
        found: Vector | None = None
        result = "failed"
        try:
            async with asyncio.timeout(self._endpoint.seconds):
                (found,) = await self._embed(session, [text])
            result = "asked"
        except TimeoutError:
            result = "late"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.debug("no embedding", error=str(error))
        finally:
            self._waiting -= 1
        if found is not None:
            self._known[text] = found
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        self._counts.embedded(result)
        answer(found)

    async def _embed_examples(self, session: aiohttp.ClientSession) -> None:
        is_reported = False
        while missing := [text for text in self._examples if text not in self.vectors][:EXAMPLES_AT_ONCE]:
            try:
                async with asyncio.timeout(EXAMPLE_SECONDS):
                    found = await self._embed(session, missing)
                self.vectors.update(zip(missing, found, strict=True))
            except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
                if not is_reported:
                    log.warning("examples are not embedded yet", url=self._endpoint.url, error=str(error))
                is_reported = True
                await asyncio.sleep(RETRY_SECONDS)
        log.info("examples embedded", texts=len(self.vectors))

    async def _embed(self, session: aiohttp.ClientSession, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text; raises ValueError for an answer that is none."""
        body = orjson.dumps({"model": self._endpoint.model, "input": list(texts)})
        headers = {"content-type": "application/json"}
        async with session.post(self._endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
            body = await answer.content.read(LARGEST_ANSWER)
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
        return vectors_of(body, len(texts))


def vectors_of(body: bytes, count: int) -> list[Vector]:
    """The vectors of an answer, in the order of their index."""
    document = orjson.loads(body)
    items = document.get("data") if isinstance(document, dict) else None
    if not isinstance(items, list) or len(items) != count:
        raise ValueError(f"expected {count} embeddings")
    found: dict[int, Vector] = {}
    for position, item in enumerate(items):
        vector = item.get("embedding") if isinstance(item, dict) else None
        if not isinstance(vector, list) or not vector or not all(isinstance(each, int | float) for each in vector):
            raise ValueError("an embedding is no list of numbers")
        index = item.get("index", position)
        found[index if isinstance(index, int) else position] = tuple(map(float, vector))
    if sorted(found) != list(range(count)):
        raise ValueError("embeddings are not numbered from 0")
    return [found[index] for index in range(count)]
