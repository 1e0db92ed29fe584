"""Two model servers in one process, each with one fault at a time, as scenarios ask for them. A shell on asyncio.

A plain server of HTTP/1.1, since no framework resets a connection before its answer, or ends a body without its last
chunk. `PUT /control` sets a fault and forgets the attempts, `GET /control` lists them. Health, metrics and models are
always answered: what a fault does, it does to requests alone.
"""

import argparse
import asyncio
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TEXT: Final = " ".join(f"word{number}" for number in range(60))
WORDS: Final = tuple(f"{word} " for word in TEXT.split())
CUT_AFTER: Final = 40  # words
STALL_AFTER: Final = 20
MALFORMED_AT: Final = 10
WORD_SECONDS: Final = 0.01
CLOSED: Final = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
_RESET: Final = struct.pack("ii", 1, 0)

# What a refusing fault answers: status, code and Retry-After; `once`: the first attempt alone.
REFUSALS: Final[Mapping[str, tuple[int, str, str]]] = {
    "429_retry_after_once": (429, "rate_limit_exceeded", "2"),
    "429": (429, "rate_limit_exceeded", ""),
    "500_once": (500, "server_error", ""),
    "503": (503, "overloaded", ""),
    "context_length": (400, "context_length_exceeded", ""),
    "content_filter": (400, "content_policy_violation", ""),
    "down": (503, "overloaded", ""),
}


@dataclass(slots=True)
class Server:
    """One model server: its fault with a number of seconds, and when it was asked since that was set."""

    name: str
    waiting: int = 0
    fault: str = ""
    seconds: float = 0.0
    since: float = 0.0
    attempts: list[tuple[float, str]] = field(default_factory=list)  # seconds since then, and what was answered

    def set(self, wanted: Mapping[str, Any]) -> None:
        """Another fault."""
        self.fault, self.seconds = wanted.get("fault", ""), wanted.get("seconds", 0.0)
        self.since, self.attempts = time.monotonic(), []

    def ask(self) -> str:
        """A request came; what becomes of it."""
        passed, fault = time.monotonic() - self.since, self.fault
        is_over = (fault.endswith("_once") and self.attempts) or (fault == "down" and passed >= self.seconds)
        found = "" if is_over else fault
        self.attempts.append((passed, found))
        return found

    def metrics(self) -> bytes:
        """The load that it claims."""
        labels = 'engine="0",model_name="bench"'
        values = {"num_requests_running": 0, "num_requests_waiting": self.waiting, "kv_cache_usage_perc": 0.0}
        return "".join(
            f"# TYPE vllm:{name} gauge\nvllm:{name}{{{labels}}} {value}\n" for name, value in values.items()
        ).encode()


def whole(status: int, body: bytes, content_type: str = "application/json", headers: str = "") -> bytes:
    """One complete response."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def refusal(fault: str) -> bytes:
    """An error as OpenAI's API has them."""
    status, code, retry_after = REFUSALS[fault]
    error = {"message": f"refused: {code}", "type": "error", "param": None, "code": code}
    headers = f"retry-after: {retry_after}\r\n" if retry_after else ""
    return whole(status, json.dumps({"error": error}).encode(), headers=headers)


def event(server: Server, **fields: object) -> bytes:
    """A chunk of an answer, as one chunk of a body."""
    answer = {"id": "x", "object": "chat.completion.chunk", "model": "bench", "system_fingerprint": server.name}
    return chunk(b"data: " + json.dumps(answer | fields).encode() + b"\n\n")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection:
    """One connection of a proxy."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def serve(self) -> None:
        """Until either side closes."""
        try:
            while await self._answer():
                await self._writer.drain()
        except CLOSED:
            pass
        finally:
            self._writer.close()

    async def _answer(self) -> bool:
        """Answer one request; whether another may follow."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        lengths = [line.partition(":")[2] for line in head.lower().splitlines() if line.startswith("content-length:")]
        body = await self._reader.readexactly(int(lengths[0]) if lengths else 0)
        if method == "POST":
            return await self._complete()
        self._writer.write(self._other(method, path, body))
        return True

    def _other(self, method: str, path: str, body: bytes) -> bytes:
        server = self._server
        if path == "/control":
            if method == "PUT":
                server.set(json.loads(body))
            return whole(200, json.dumps(server.attempts).encode())
        if path == "/metrics":
            return whole(200, server.metrics(), "text/plain")
        return whole(200, b'{"object":"list","data":[{"id":"bench","object":"model"}]}')

    async def _complete(self) -> bool:
        fault = self._server.ask()
        if fault in REFUSALS:
            self._writer.write(refusal(fault))
            return True
        if fault == "reset_once":
            self._reset()
            return False
        if fault == "silent":
            await asyncio.wait_for(self._reader.read(1), self._server.seconds)  # or until the proxy gives up
            return False
        return await self._stream(fault)

    def _reset(self) -> None:
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    async def _stream(self, fault: str) -> bool:
        write, server = self._writer.write, self._server
        write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await self._writer.drain()
        if fault == "slow_first_token":
            await self._wait()
        for number, word in enumerate(WORDS):
            if fault == "cut" and number == CUT_AFTER:
                return False
            if fault == "stall" and number == STALL_AFTER:
                await self._wait()
                return False
            if fault == "malformed" and number == MALFORMED_AT:
                write(chunk(b'data: {"choices": [{"delta": {"con\n\n'))
            write(event(server, choices=[{"index": 0, "delta": {"content": word}, "finish_reason": None}]))
            await self._writer.drain()
            await asyncio.sleep(WORD_SECONDS)
        write(event(server, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        write(event(server, choices=[], usage={"prompt_tokens": 21, "completion_tokens": 60, "total_tokens": 81}))
        write((b"" if fault == "no_done" else chunk(b"data: [DONE]\n\n")) + b"0\r\n\r\n")
        return True

    async def _wait(self) -> None:
        """So long as the fault lasts, or until the proxy leaves."""
        try:
            await asyncio.wait_for(self._reader.readexactly(1), self._server.seconds)
        except TimeoutError:
            return


async def serve(ports: list[int], waiting: int) -> None:
    """Listen until killed. The servers after the first claim that requests wait, so that a picker prefers the first."""

    def listener(server: Server) -> Any:
        return lambda reader, writer: Connection(server, reader, writer).serve()

    servers = [Server(f"server-{number}", waiting if number else 0) for number in range(len(ports))]
    for server, port in zip(servers, ports, strict=True):
        await asyncio.start_server(listener(server), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--waiting", type=int, default=3)
    parser.add_argument("ports", type=int, nargs="+")
    given = parser.parse_args()
    asyncio.run(serve(given.ports, given.waiting))
