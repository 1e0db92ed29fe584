"""A model server that writes the bytes it is told to, and a client's way to it through the gateway.

It is a socket at the port of the bed where nobody else listens.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from gateway.wire import quotas
from tests.contract.envoy.conftest import Bed
from tests.contract.envoy.fakes import HOST

JSON = "application/json"
CHARSET = "application/json; charset=utf-8"
STREAM = "text/event-stream; charset=utf-8"
MEGABYTE = 1_000_000
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
}
RESPONSES_USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 12,
}
READ = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cached_tokens": 4}
DOCUMENT = json.dumps({"usage": USAGE}).encode()
EVENTS = b'data: {"choices": [{"text": "a"}]}\n\ndata: %b\n\ndata: [DONE]\n\n' % DOCUMENT


@dataclass
class Server:
    """Answers every request with `head` and then the pieces, each once the client has the one before."""

    head: bytes = b""
    pieces: Sequence[bytes] = ()
    received: asyncio.Event = field(default_factory=asyncio.Event)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _request_head(reader):
                await reader.readexactly(_length(request))
                writer.write(self.head)
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await self.received.wait()
                if b"connection: close" in self.head:
                    break
        finally:
            writer.close()

    def answer(self, body: bytes, content_type: str, *, chunked: bool = False, headers: str = "") -> None:
        """One whole body, with its length or in chunks."""
        length = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
        self.head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{length}\r\n{headers}\r\n".encode()
        self.pieces = (_chunks(body),) if chunked else (body,)
        self.received.set()

    def cut(self, body: bytes, at: int, *, chunked: bool = False) -> None:
        """The beginning of an answer, and then the end of the connection."""
        self.answer(body, JSON, chunked=chunked, headers="connection: close\r\n")
        self.pieces = [self.pieces[0][:at]]

    def answer_in_turn(self, pieces: Sequence[bytes]) -> None:
        """A stream of events, of which each piece waits for the client to have the one before."""
        self.head = f"HTTP/1.1 200 OK\r\ncontent-type: {STREAM}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        self.pieces = [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece), b"0\r\n\r\n"]
        self.received.clear()


async def _request_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n")[0] or 0)


def _chunks(body: bytes, size: int = 65536) -> bytes:
    parts = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def document(size: int) -> bytes:
    """A JSON answer of exactly so many bytes."""
    empty = json.dumps({"padding": "", "usage": USAGE}).encode()
    return empty.replace(b'""', b'"%b"' % (b"x" * (size - len(empty))), 1)


@dataclass
class Line:
    """A client's way through the gateway to the server, and what the picker heard of it."""

    bed: Bed
    server: Server
    session: aiohttp.ClientSession

    async def ask(self, method: str = "POST", path: str = "/v1/completions") -> tuple[int, bytes]:
        """Status and body as they came, neither decompressed nor otherwise touched."""
        body = b'{"model": "open"}' if method == "POST" else None
        self.bed.picker.log.entries.clear()
        url, headers = self.bed.gateway.url + path, {"content-type": JSON}
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            parts = []
            async for part in answer.content.iter_any():
                parts.append(part)
                self.server.received.set()
            return answer.status, b"".join(parts)

    async def usage(self) -> dict[str, object]:
        """What Envoy's log said of the last answer, beside whether it was a stream."""
        async with asyncio.timeout(10):
            while not (ended := [entry for entry in self.bed.picker.log.entries if entry.response.response_code.value]):
                await asyncio.sleep(0.01)
        found = dict(ended[-1].common_properties.metadata.filter_metadata["llm"])
        return {name: value for name, value in found.items() if name != quotas.STREAMED}


@asynccontextmanager
async def line_through(bed: Bed) -> AsyncIterator[Line]:
    server = Server()
    bed.pick(bed.dead)
    async with (
        await asyncio.start_server(server.converse, HOST, bed.dead),
        aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60)) as session,
    ):
        yield Line(bed, server, session)
        errors = await bed.gateway.stats("lua.errors$")
        assert not any(errors.values()), errors
