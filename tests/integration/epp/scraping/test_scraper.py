"""Scraping real sockets: good, slow, dead, hostile endpoints side by side."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import Iterator

import pytest
import structlog.testing

from epp.config.engines import BUILT_IN
from epp.domain import Endpoint, EngineMetrics, ScrapeFault, ServedModel
from epp.scraping import scraper as scrape
from epp.scraping.endpoints import Access
from epp.scraping.http_client import ANSWER_LIMIT_BYTES
from epp.scraping.schedule import slots
from epp.scraping.schedule.slots import MAX_RETRIES
from tests.conftest import free_ports
from tests.integration.epp.scraping.scraped import (
    METRICS,
    Answer,
    Brain,
    Counts,
    ModelServer,
    endless,
    endpoint,
    error,
    good,
    html,
    not_http,
    pools,
    response,
    scraper,
    scraping,
    silent,
    until,
)


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
