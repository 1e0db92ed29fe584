"""Model servers on real sockets, one for each way to be good or bad, and a scraper of them."""

import asyncio
import contextlib
import random
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from epp.config.engines import BUILT_IN
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec, ScrapeFault, ServedModel
from epp.scraping.endpoints import Access
from epp.scraping.http_client import ANSWER_LIMIT_BYTES
from epp.scraping.scraper import Scraper
from tests.conftest import required

POOL = PoolId("default/a")
METRICS = b"vllm:num_requests_waiting 2\nvllm:num_requests_running 1\nvllm:kv_cache_usage_perc 0.5\n"
MODELS = b'{"object":"list","data":[{"id":"qwen","object":"model"},{"id":5},"x"]}'
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Brain:
    def __init__(self, interval: float = 0.01) -> None:
        self.interval = interval
        self.seen: dict[EndpointId, list[EngineMetrics | ScrapeFault]] = {}
        self.models: dict[EndpointId, list[tuple[ServedModel, ...]]] = {}

    def scraped(self, pool: PoolId, endpoint: EndpointId, metrics: EngineMetrics | ScrapeFault, now: float) -> None:
        self.seen.setdefault(endpoint, []).append(metrics)

    def models_listed(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        self.models.setdefault(endpoint, []).append(models)

    def scrape_interval(self, pool: PoolId, endpoint: EndpointId, now: float) -> float:
        return self.interval


class Counts:
    def __init__(self) -> None:
        self.good = 0
        self.faults: list[ScrapeFault] = []

    def scrape_succeeded(self, pool: PoolId) -> None:
        self.good += 1

    def scrape_failed(self, pool: PoolId, fault: ScrapeFault) -> None:
        self.faults.append(fault)


def response(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def good(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(response(MODELS if request.startswith(b"GET /v1/models ") else METRICS))


async def html(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"<html>vllm:num_requests_waiting 9</html>"))


async def error(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"", "500 Internal Server Error"))


async def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
    """The server waits instead of answering."""


async def endless(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(2 * ANSWER_LIMIT_BYTES // 2**16):
            writer.write(b"10000\r\n" + bytes(2**16) + b"\r\n")
            await writer.drain()


async def not_http(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH\r\n")


class ModelServer:
    def __init__(self) -> None:
        self.connections = 0
        self.answer: Answer = good
        self.stopped = asyncio.Event()
        self.open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not self.stopped.is_set():
                request = await reader.readuntil(b"\r\n\r\n")
                if self.answer is silent:
                    await self.stopped.wait()
                await self.answer(request, writer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.open.discard(writer)

    @asynccontextmanager
    async def listening(self, port: int = 0, context: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", port, ssl=context)
        port = server.sockets[0].getsockname()[1]
        try:
            yield endpoint(port)
        finally:
            server.close()
            self.stopped.set()
            for writer in self.open:
                writer.transport.abort()
            await until(lambda: not self.open)


def certified(folder: Path, address: str = "127.0.0.9") -> ssl.SSLContext:
    """With a certificate that nobody vouches for, as model servers come with."""
    binary = shutil.which("openssl")
    required("openssl", binary, install="apt-get install openssl")
    key, certificate = folder / "tls.key", folder / "tls.crt"
    request = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=somebody",
        "-addext",
        f"subjectAltName=IP:{address}",
    ]
    subprocess.run([str(binary), *request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def endpoint(port: int) -> Endpoint:
    return Endpoint(EndpointId(f"127.0.0.1:{port}"), "127.0.0.1", port, "server")


def pools(*endpoints: Endpoint) -> dict[PoolId, PoolSpec]:
    return {POOL: PoolSpec(POOL, endpoints)}


def scraper(brain: Brain, counts: Counts) -> Scraper:
    return Scraper(brain, counts, time.monotonic, Access(lambda _: BUILT_IN["vllm"]), random.Random(1))


@asynccontextmanager
async def scraping(scraper: Scraper) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(scraper.run())
        try:
            yield
        finally:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
