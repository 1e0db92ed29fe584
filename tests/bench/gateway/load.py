"""The load generator, a process of its own: raw HTTP/1.1 over loopback, bounded in time, one JSON line at the end.

Closed loop with `concurrency` connections, or open loop with `rate` requests a second. Every prompt differs from its
first byte on, the worst case for a prefix index, unless `--same-prompt` is given.
"""

import argparse
import asyncio
import json
import re
import time
from array import array
from dataclasses import dataclass, field
from typing import cast

import uvloop

# Requests that are under way when the time is over may finish within this: 10 000 tokens take 50 s.
GRACE_SECONDS = 90.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_NUMBER = b"%016d"


@dataclass(frozen=True, slots=True)
class Question:
    """One request in pieces: before the number that makes the prompt its own, and after."""

    before: bytes
    after: bytes
    is_same: bool

    def render(self, number: int) -> bytes:
        """The bytes of one request."""
        return b"".join((self.before, _NUMBER % (0 if self.is_same else number), self.after))


def question(body_bytes: int, tokens: int, *, beats: int, is_same: bool) -> Question:
    """A chat request of that many bytes, streamed when tokens are asked for, so many beats of the server apart."""
    start = b'{"model":"bench","stream":%b,"max_tokens":%d,"beats":%d,"messages":[{"role":"user","content":"' % (
        b"true" if tokens else b"false",
        tokens or 4,
        beats,
    )
    end = b'"}]}'
    words = b" lorem ipsum dolor sit amet consetetur"
    size = body_bytes - len(start) - 16 - len(end)
    filler = (words * (size // len(words) + 1))[:size]
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % body_bytes
    )
    return Question(head + start, filler + end, is_same)


@dataclass(slots=True)
class Tally:
    """What came of the requests; latencies in seconds, to the first byte of the body for streams."""

    latencies: array = field(default_factory=lambda: array("d"))  # type: ignore[type-arg]
    errors: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    last_end: float = 0.0

    def error(self, kind: str) -> None:
        self.errors[kind] = self.errors.get(kind, 0) + 1


class Client(asyncio.Protocol):
    """One connection; `on_done` is called when an answer is complete or the connection is gone."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._missing = 0
        self._is_chunked = False
        self._tail = b""
        self._sent_at = 0.0
        self._first_at = 0.0
        self._is_busy = False
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._is_busy:
            self._tally.error("connection lost")
            self._end()

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def ask(self, data: bytes) -> asyncio.Future[None]:
        """Send one request; the future is done with its answer."""
        self._done = asyncio.get_running_loop().create_future()
        self._head, self._first_at, self._is_busy = b"", 0.0, True
        self._tally.sent += 1
        self._sent_at = time.perf_counter()
        if self._transport is not None:
            self._transport.write(data)
        return self._done

    def data_received(self, data: bytes) -> None:
        if not self._first_at:
            data = self._read_head(data)
            if not self._first_at:
                return
        if self._is_chunked:
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
            if self._tail == _LAST_CHUNK:
                self._finish()
            return
        self._missing -= len(data)
        if self._missing <= 0:
            self._finish()

    def _read_head(self, data: bytes) -> bytes:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        length = _LENGTH.search(self._head, 0, end + 2)
        rest = self._head[end + 4 :]
        self._is_chunked, self._missing, self._tail = length is None, int(length[1]) if length else 0, b"\r\n"
        if self._is_chunked and not rest:
            return b""
        self._first_at = time.perf_counter()
        return rest

    def _finish(self) -> None:
        if self._head.startswith(b"HTTP/1.1 200 "):
            ended_at = self._first_at if self._is_chunked else time.perf_counter()
            self._tally.latencies.append(ended_at - self._sent_at)
        else:
            self._tally.error(self._head[9:12].decode("latin-1"))
        self._end()

    def _end(self) -> None:
        self._is_busy = False
        self._tally.last_end = time.perf_counter()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


@dataclass(frozen=True, slots=True)
class Plan:
    port: int
    seconds: float
    question: Question
    concurrency: int = 0
    rate: float = 0.0


async def connect(plan: Plan, tally: Tally) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(tally), "127.0.0.1", plan.port)
    return client


async def closed_loop(plan: Plan, tally: Tally, numbers: "Numbers") -> None:
    """Every connection asks again as soon as it is answered."""
    clients = [await connect(plan, tally) for _ in range(plan.concurrency)]
    until = time.perf_counter() + plan.seconds

    async def ask_on(client: Client) -> None:
        while client.is_open and time.perf_counter() < until:
            await client.ask(plan.question.render(numbers.next()))

    async with asyncio.timeout(plan.seconds + GRACE_SECONDS), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(ask_on(client))


async def open_loop(plan: Plan, tally: Tally, numbers: "Numbers") -> None:
    """Requests leave on time, whatever became of the earlier ones."""
    idle: list[Client] = []
    start = time.perf_counter()

    async def ask_once() -> None:
        while idle:
            client = idle.pop()
            if client.is_open:
                break
        else:
            client = await connect(plan, tally)
        await client.ask(plan.question.render(numbers.next()))
        idle.append(client)

    async with asyncio.timeout(plan.seconds + GRACE_SECONDS), asyncio.TaskGroup() as group:
        for number in range(int(plan.seconds * plan.rate)):
            await asyncio.sleep(max(0.0, start + number / plan.rate - time.perf_counter()))
            group.create_task(ask_once())


class Numbers:
    """Counts on from the clock, so that no two runs share a prompt."""

    def __init__(self) -> None:
        self._last = time.time_ns() // 1000

    def next(self) -> int:
        self._last += 1
        return self._last


async def run(plan: Plan) -> dict[str, object]:
    """Load, then say how it went."""
    tally, numbers = Tally(), Numbers()
    start = time.perf_counter()
    try:
        await (closed_loop if plan.concurrency else open_loop)(plan, tally, numbers)
    except TimeoutError:
        tally.error("unfinished")
    # An open loop is as fast as it sends; its last streams end later.
    elapsed = plan.seconds if plan.rate else max(tally.last_end - start, 1e-9)
    found = sorted(tally.latencies)
    return {
        "requests": len(found),
        "errors": tally.errors,
        "seconds": elapsed,
        "p50_ms": percentile(found, 0.50) * 1000,
        "p99_ms": percentile(found, 0.99) * 1000,
    }


def percentile(ordered: list[float], share: float) -> float:
    """Nearest rank."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--concurrency", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--body-bytes", type=int, default=4096)
    parser.add_argument("--tokens", type=int, default=0)
    parser.add_argument("--beats", type=int, default=1)
    parser.add_argument("--same-prompt", action="store_true")
    given = parser.parse_args()
    body = question(given.body_bytes, given.tokens, beats=given.beats, is_same=given.same_prompt)
    plan = Plan(given.port, given.seconds, body, given.concurrency, given.rate)
    print(json.dumps(uvloop.run(run(plan))))


if __name__ == "__main__":
    main()
