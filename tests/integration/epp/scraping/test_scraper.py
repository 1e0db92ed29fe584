"""Scraping real sockets: good, slow, dead, hostile endpoints side by side."""

import asyncio
import contextlib
import gzip
import random
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing

from epp.config.engines import BUILT_IN
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec, ScrapeFault, ServedModel
from epp.scraping import scraper as scrape
from epp.scraping.endpoints import Access, Secure, tls
from epp.scraping.http_client import ANSWER_LIMIT_BYTES
from epp.scraping.schedule import slots
from epp.scraping.schedule.models import read_models
from epp.scraping.schedule.slots import MAX_RETRIES
from epp.scraping.scraper import Scraper
from tests.conftest import free_ports, required

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
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_metrics_and_models_are_learned_over_one_kept_connection() -> None:
    server, brain, counts = ModelServer(), Brain(), Counts()
    watched = scraper(brain, counts)
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: len(brain.seen.get(where.id, [])) >= 5 and where.id in brain.models)
    assert brain.seen[where.id][0] == EngineMetrics(waiting=2, running=1, kv_usage=0.5)
    assert brain.models[where.id] == [(ServedModel("qwen", {"id": "qwen", "object": "model"}),)]
    assert server.connections == 1
    assert counts.good >= 5
    assert counts.faults == []


async def test_each_kind_of_bad_endpoint_is_its_own_fault_and_delays_nobody() -> None:
    brain, counts = Brain(), Counts()
    watched = scraper(brain, counts)
    kinds = {html: "malformed", error: "status", silent: "timeout", endless: "too_large", not_http: "refused"}
    (closed,) = free_ports(1)
    async with contextlib.AsyncExitStack() as stack:
        servers = []
        for answer in (good, *kinds):
            server = ModelServer()
            server.answer = answer
            servers.append(await stack.enter_async_context(server.listening()))
        watched.replace_pools(pools(*servers, endpoint(closed)))
        await stack.enter_async_context(scraping(watched))
        await until(lambda: len(brain.seen) == len(servers) + 1)
        assert len(brain.seen[servers[0].id]) > 20  # went on while the silent one was waited for
        for where, expected in zip(servers[1:], kinds.values(), strict=True):
            assert brain.seen[where.id][0] == ScrapeFault(expected)
        assert brain.seen[endpoint(closed).id][0] is ScrapeFault.REFUSED


@contextlib.contextmanager
def black_hole() -> Iterator[Endpoint]:
    """A port that neither accepts nor refuses: what is asked there is never answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield endpoint(listener.getsockname()[1])


async def test_many_endpoints_that_take_no_connection_delay_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(slots, "FAILING_INTERVAL_SECONDS", 0.01)
    brain, counts, server, newcomer = Brain(), Counts(), ModelServer(), ModelServer()
    watched = scraper(brain, counts)
    async with server.listening() as first, newcomer.listening() as second:
        with contextlib.ExitStack() as stack:
            holes = [stack.enter_context(black_hole()) for _ in range(2 * MAX_RETRIES)]
            watched.replace_pools(pools(*holes, first))
            async with scraping(watched):
                await until(lambda: len(counts.faults) >= 3 * MAX_RETRIES)
                watched.replace_pools(pools(*holes, first, second))
                await until(lambda: second.id in brain.seen)
                assert len(asyncio.all_tasks()) < 2 * MAX_RETRIES
    for where in (first, second):
        assert all(isinstance(found, EngineMetrics) for found in brain.seen[where.id])


async def huge(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(2 * ANSWER_LIMIT_BYTES // 2**16):
            writer.write(bytes(2**16))
            await writer.drain()


async def test_a_fault_is_said_once_for_each_change_and_counted_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "FAILING_INTERVAL_SECONDS", 0.01)
    server, brain, counts = ModelServer(), Brain(), Counts()
    server.answer = huge
    watched = scraper(brain, counts)
    with structlog.testing.capture_logs() as lines:
        async with server.listening() as where:
            watched.replace_pools(pools(where))
            async with scraping(watched):
                await until(lambda: counts.faults.count(ScrapeFault.TOO_LARGE) >= 3)
                server.answer = html
                await until(lambda: counts.faults.count(ScrapeFault.MALFORMED) >= 3)
                server.answer = good
                await until(lambda: counts.good >= 3)
    assert [(line["event"], line.get("fault")) for line in lines] == [
        ("endpoint cannot be scraped", "too_large"),
        ("endpoint cannot be scraped", "malformed"),
        ("endpoint can be scraped again", None),
    ]


async def test_an_endpoint_that_comes_back_is_scraped_again() -> None:
    server, brain, counts = ModelServer(), Brain(), Counts()
    watched = scraper(brain, counts)
    (port,) = free_ports(1)
    where = endpoint(port)
    watched.replace_pools(pools(where))
    async with scraping(watched):
        await until(lambda: ScrapeFault.REFUSED in brain.seen.get(where.id, []))
        async with server.listening(port):
            await until(lambda: isinstance(brain.seen[where.id][-1], EngineMetrics))
    assert counts.faults == [ScrapeFault.REFUSED] * len(counts.faults)


async def test_a_dropped_connection_is_opened_anew() -> None:
    server, brain, counts = ModelServer(), Brain(), Counts()

    async def once(request: bytes, writer: asyncio.StreamWriter) -> None:
        await good(request, writer)
        await writer.drain()
        writer.close()

    server.answer = once
    watched = scraper(brain, counts)
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: sum(isinstance(found, EngineMetrics) for found in brain.seen.get(where.id, [])) >= 3)
    assert server.connections >= 3


async def closing(body: bytes, writer: asyncio.StreamWriter) -> None:
    """As HTTP/1.0 says where an answer ends."""
    writer.write(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n" + body)
    await writer.drain()
    writer.close()


async def test_an_answer_may_end_with_its_connection() -> None:
    server, brain, counts = ModelServer(), Brain(), Counts()
    server.answer = lambda _, writer: closing(METRICS, writer)
    watched = scraper(brain, counts)
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: len(brain.seen.get(where.id, [])) >= 3)
    assert brain.seen[where.id][:3] == [EngineMetrics(waiting=2, running=1, kv_usage=0.5)] * 3


async def test_an_answer_that_is_cut_before_its_end_says_nothing() -> None:
    server, brain, counts = ModelServer(), Brain(), Counts()

    async def cut(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(METRICS)[:-9])
        await writer.drain()
        writer.close()

    server.answer = cut
    watched = scraper(brain, counts)
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: len(brain.seen.get(where.id, [])) >= 1)
    assert brain.seen[where.id][0] is ScrapeFault.REFUSED


async def test_models_are_asked_where_requests_go_when_metrics_are_told_on_another_port() -> None:
    engine, exporter, brain, counts = ModelServer(), ModelServer(), Brain(), Counts()
    requests: list[bytes] = []

    async def only_metrics(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request.partition(b" HTTP")[0])
        writer.write(response(METRICS))

    exporter.answer = only_metrics
    async with engine.listening() as where, exporter.listening() as metrics:
        source = Access(lambda _: BUILT_IN["vllm"], metrics_port=metrics.port)
        watched = Scraper(brain, counts, time.monotonic, source, random.Random(1))
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: where.id in brain.models and len(brain.seen[where.id]) >= 3)
    assert set(requests) == {b"GET /metrics"}
    assert brain.models[where.id] == [(ServedModel("qwen", {"id": "qwen", "object": "model"}),)]


async def test_models_are_asked_by_their_own_scheme(tmp_path: Path) -> None:
    engine, exporter, brain, counts = ModelServer(), ModelServer(), Brain(), Counts()
    async with engine.listening(context=certified(tmp_path)) as where, exporter.listening() as metrics:
        source = Access(lambda _: BUILT_IN["vllm"], metrics_port=metrics.port, models_secure=Secure())
        watched = Scraper(brain, counts, time.monotonic, source, random.Random(1))
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: where.id in brain.models)
    assert counts.faults == []


async def test_a_certificate_nobody_vouches_for_lists_no_models_where_it_is_verified(tmp_path: Path) -> None:
    engine, exporter, brain = ModelServer(), ModelServer(), Brain()
    with structlog.testing.capture_logs() as lines:
        async with engine.listening(context=certified(tmp_path)) as where, exporter.listening() as metrics:
            source = Access(
                lambda _: BUILT_IN["vllm"], metrics_port=metrics.port, models_seconds=0.01,
                models_secure=Secure(verifies=True),
            )  # fmt: skip
            watched = Scraper(brain, Counts(), time.monotonic, source, random.Random(1))
            watched.replace_pools(pools(where))
            async with scraping(watched):
                await until(lambda: bool(lines) and len(brain.seen[where.id]) >= 20)
    assert brain.models == {}
    assert [line["event"] for line in lines] == ["models cannot be listed"]


async def test_a_certificate_of_the_authorities_that_are_named_is_trusted_and_ones_own_is_presented(
    tmp_path: Path,
) -> None:
    engine, brain, counts = ModelServer(), Brain(), Counts()
    context = certified(tmp_path, "127.0.0.1")
    context.load_verify_locations(tmp_path / "tls.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    files = (str(tmp_path / "tls.crt"), str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    async with engine.listening(context=context) as where:
        source = Access(lambda _: BUILT_IN["vllm"], secure=Secure(True, *files), models_secure=Secure(True, *files))
        watched = Scraper(brain, counts, time.monotonic, source, random.Random(1))
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: where.id in brain.models)
    assert counts.faults == []


def test_certificates_that_cannot_be_read_are_reported() -> None:
    with structlog.testing.capture_logs() as lines:
        assert tls(Secure(verifies=True, ca="/does/not/exist")) is not None
    assert "certificates for scrapes cannot be read" in lines[0]["event"]


async def test_models_that_are_never_listed_hold_up_no_scrape() -> None:
    engine, exporter, brain, counts = ModelServer(), ModelServer(), Brain(), Counts()
    engine.answer = silent
    async with engine.listening() as where, exporter.listening() as metrics:
        source = Access(lambda _: BUILT_IN["vllm"], metrics_port=metrics.port, models_seconds=0.01)
        watched = Scraper(brain, counts, time.monotonic, source, random.Random(1))
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: engine.connections == 1 and len(brain.seen[where.id]) >= 20)
            assert engine.connections == 1  # still waited for
        engine.stopped.set()
    assert counts.faults == []


async def test_models_are_asked_of_a_server_that_closes_after_each_answer() -> None:
    server, brain = ModelServer(), Brain()

    async def once(request: bytes, writer: asyncio.StreamWriter) -> None:
        await good(request, writer)
        await writer.drain()
        writer.close()

    server.answer = once
    watched = scraper(brain, Counts())
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: where.id in brain.models)


async def test_another_port_counts_from_the_next_scrape_on() -> None:
    engine, exporter, brain = ModelServer(), ModelServer(), Brain()
    watched = scraper(brain, Counts())
    async with engine.listening() as where, exporter.listening() as metrics:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: len(brain.seen.get(where.id, [])) >= 3)
            watched.reconfigure(Access(lambda _: BUILT_IN["vllm"], metrics_port=metrics.port))
            await until(lambda: exporter.connections == 1)


async def dribble(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(400):
            writer.write(b"1\r\n#\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)


async def redirect(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")


async def zipped(request: bytes, writer: asyncio.StreamWriter) -> None:
    body = gzip.compress(METRICS)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def not_a_number(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"vllm:num_requests_waiting NaN\nvllm:kv_cache_usage_perc NaN\n"))


@pytest.mark.parametrize(
    ("answer", "fault"),
    [(dribble, "timeout"), (redirect, "status"), (zipped, "malformed"), (not_a_number, "malformed")],
)
async def test_what_is_not_the_metrics_in_time_is_a_fault(answer: Answer, fault: str) -> None:
    server, brain, counts = ModelServer(), Brain(), Counts()
    server.answer = answer
    watched = scraper(brain, counts)
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: len(brain.seen.get(where.id, [])) >= 1)
    assert brain.seen[where.id][0] == ScrapeFault(fault)


async def test_an_endpoint_that_left_is_not_asked_again_and_one_that_joined_is() -> None:
    first, second, brain = ModelServer(), ModelServer(), Brain()
    watched = scraper(brain, Counts())
    async with first.listening() as a, second.listening() as b:
        watched.replace_pools(pools(a))
        async with scraping(watched):
            await until(lambda: a.id in brain.seen)
            watched.replace_pools(pools(b))
            seen = len(brain.seen[a.id])
            await until(lambda: len(brain.seen.get(b.id, [])) >= 5)
    assert len(brain.seen[a.id]) == seen


def test_model_lists_are_read_and_anything_else_is_none() -> None:
    assert read_models(MODELS) == (ServedModel("qwen", {"id": "qwen", "object": "model"}),)
    assert [read_models(body) for body in (b"", b"[]", b'{"data":5}', b"<html>")] == [None] * 4


def test_a_model_too_deep_to_be_listed_again_is_left_out_and_the_others_stay() -> None:
    deep = b"[" * 300 + b"]" * 300
    assert read_models(b'{"data":[{"id":"deep","x":' + deep + b'},{"id":"qwen"}]}') == (
        ServedModel("qwen", {"id": "qwen"}),
    )
