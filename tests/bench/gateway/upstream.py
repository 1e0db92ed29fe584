"""Cheap model servers in one process: they answer at once, or stream tokens at a fixed pace. A shell on uvloop.

One request at a time on a connection, framed by Content-Length, which is all that Envoy sends. Tokens of all streams
leave on one shared beat, so that a thousand streams cost no thousand timers.
"""

import argparse
import asyncio
import re
from dataclasses import dataclass
from typing import cast

import uvloop

TOKEN_SECONDS = 0.005
_CHUNKED, _LAST_CHUNK = b"transfer-encoding: chunked", b"0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_MAX_TOKENS = re.compile(rb'"max_tokens":(\d+)')
_BEATS = re.compile(rb'"beats":(\d+)')

ANSWER = (
    b'{"id":"cmpl-1","object":"chat.completion","model":"bench","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"four tokens of text"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":4,"total_tokens":1004}}'
)
TOKEN = (
    b'data: {"id":"cmpl-1","object":"chat.completion.chunk","model":"bench","choices":[{"index":0,'
    b'"delta":{"content":" token"}}]}\n\n'
)
LAST = (
    b'data: {"id":"cmpl-1","object":"chat.completion.chunk","model":"bench","choices":[],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}\n\ndata: [DONE]\n\n'
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":0,"owned_by":"bench","root":"bench"}]}'


def whole(body: bytes, content_type: bytes) -> bytes:
    """One complete response."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (content_type, len(body), body)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def exposition() -> bytes:
    """About what an idle vLLM shows: a few families that matter among histograms that do not."""
    labels = 'engine="0",model_name="bench"'
    lines = []
    for name, value in (("num_requests_running", 0), ("num_requests_waiting", 0), ("kv_cache_usage_perc", 0.1)):
        lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{labels}}} {value}"]
    cache = 'block_size="16",num_gpu_blocks="20000",engine="0"'
    lines += ["# TYPE vllm:cache_config_info gauge", f"vllm:cache_config_info{{{cache}}} 1.0"]
    for number in range(16):
        name = f"vllm:some_histogram_{number}_seconds"
        lines.append(f"# TYPE {name} histogram")
        lines += [f'{name}_bucket{{{labels},le="{edge / 10}"}} {edge}' for edge in range(20)]
        lines += [
            f'{name}_bucket{{{labels},le="+Inf"}} 20',
            f"{name}_sum{{{labels}}} 1",
            f"{name}_count{{{labels}}} 20",
        ]
    return ("\n".join(lines) + "\n").encode()


ANSWERED = whole(ANSWER, b"application/json")
SCRAPED = whole(exposition(), b"text/plain; version=0.0.4")
LISTED = whole(MODELS, b"application/json")
TOKEN_CHUNK = chunk(TOKEN)
END = chunk(LAST) + b"0\r\n\r\n"


@dataclass(slots=True)
class Stream:
    """What is left of one answer: tokens, and how many beats lie between two of them."""

    tokens: int
    beats: int
    wait: int = 0

    def is_due(self) -> bool:
        """One beat passes; whether something leaves with it."""
        self.wait = self.wait - 1 if self.wait else self.beats - 1
        return not self.wait


class Server(asyncio.Protocol):
    """One connection."""

    def __init__(self, streams: "dict[Server, Stream]") -> None:
        self._streams = streams
        self._parts: list[bytes] = []
        self._missing = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.pop(self, None)
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if not self._missing:
            head = b"".join(self._parts)
            end = head.find(b"\r\n\r\n")
            if end < 0:
                return
            if _CHUNKED in head[:end]:
                if head.endswith(_LAST_CHUNK):  # which no JSON can contain
                    self._parts = []
                    self._answer(head)
                else:
                    self._parts = [head]
                return
            length = _LENGTH.search(head, 0, end + 2)
            self._missing = end + 4 + (int(length[1]) if length else 0) - len(head) + len(data)
        self._missing -= len(data)
        if not self._missing:
            parts, self._parts = self._parts, []
            self._answer(parts[0] if len(parts) == 1 else b"".join(parts))

    def _answer(self, request: bytes) -> None:
        if self.transport is None:
            return
        if request.startswith(b"GET /metrics"):
            self.transport.write(SCRAPED)
        elif request.startswith(b"GET "):
            self.transport.write(LISTED)
        elif b'"stream":true' in request[:4096]:
            tokens, beats = _MAX_TOKENS.search(request), _BEATS.search(request)
            self._streams[self] = Stream(int(tokens[1]) if tokens else 1, int(beats[1]) if beats else 1)
            self.transport.write(STREAM_HEAD)
        else:
            self.transport.write(ANSWERED)


async def beat(streams: dict[Server, Stream]) -> None:
    """One token for every stream that is due, every TOKEN_SECONDS."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += TOKEN_SECONDS
        await asyncio.sleep(max(0.0, due - loop.time()))
        for server, stream in list(streams.items()):
            if server.transport is None or not stream.is_due():
                continue
            if stream.tokens:
                stream.tokens -= 1
                server.transport.write(TOKEN_CHUNK)
            else:
                del streams[server]
                server.transport.write(END)


async def serve(ports: list[int]) -> None:
    """Listen until killed."""
    streams: dict[Server, Stream] = {}
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(lambda: Server(streams), "127.0.0.1", port, backlog=1024)
    await beat(streams)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("ports", type=int, nargs="+")
    uvloop.run(serve(parser.parse_args().ports))
