"""Models are asked where requests go, with the scheme and the certificates of the server."""

import asyncio
import random
import ssl
import time
from pathlib import Path

import structlog.testing

from epp.config.engines import BUILT_IN
from epp.domain import ServedModel
from epp.scraping.endpoints import Access, Secure, tls
from epp.scraping.schedule.models import read_models
from epp.scraping.scraper import Scraper
from tests.integration.epp.scraping.scraped import (
    METRICS,
    MODELS,
    Brain,
    Counts,
    ModelServer,
    certified,
    good,
    pools,
    response,
    scraper,
    scraping,
    silent,
    until,
)


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


def test_model_lists_are_read_and_anything_else_is_none() -> None:
    assert read_models(MODELS) == (ServedModel("qwen", {"id": "qwen", "object": "model"}),)
    assert [read_models(body) for body in (b"", b"[]", b'{"data":5}', b"<html>")] == [None] * 4


def test_a_model_too_deep_to_be_listed_again_is_left_out_and_the_others_stay() -> None:
    deep = b"[" * 300 + b"]" * 300
    assert read_models(b'{"data":[{"id":"deep","x":' + deep + b'},{"id":"qwen"}]}') == (
        ServedModel("qwen", {"id": "qwen"}),
    )
