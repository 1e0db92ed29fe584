"""Lists of models of servers that want a key, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import orjson

from epp.config import parse_config
from epp.config.engines import BUILT_IN
from epp.domain import PoolId, Reply, Request, Ticket, Verdict
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.scraping.endpoints import Access
from epp.scraping.keyed_models import MAX_LISTS, KeyedModels
from epp.scraping.model_lists import TIMEOUT_SECONDS
from epp.scraping.scraper import Scraper
from tests.integration.epp.scraping.scraped import (
    METRICS,
    POOL,
    Counts,
    ModelServer,
    pools,
    response,
    until,
)

CONFIG = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}]}]
"""
KEY = "Bearer secret"
MODELS = b'{"data":[{"id":"tuned","object":"model","parent":"qwen"},{"id":"qwen","object":"model"},{"id":5}]}'


@dataclass
class LockedServer(ModelServer):
    """A model server with an API key. `is_slow`: it takes longer than a list may."""

    is_slow: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.answer = self.locked
        self.refused = self.listed = 0

    async def locked(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        if not request.startswith(b"GET /v1/models "):
            writer.write(response(METRICS))
        elif f"authorization: {KEY}\r\n".encode() in request:
            self.listed += 1
            if self.is_slow:
                await self.stopped.wait()
            writer.write(response(MODELS))
        else:
            self.refused += 1
            writer.write(response(b"{}", "401 Unauthorized"))


class Client:
    """What a transport is to the picker."""

    def __init__(self) -> None:
        self.decided: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def decide(self, verdict: Verdict, now: float) -> None:
        self.decided.set_result(verdict)


@asynccontextmanager
async def keyed(server: LockedServer) -> AsyncIterator[KeyedModels]:
    """A picker that scrapes the server and was refused its list."""
    picker = Picker(parse_config(CONFIG, "test"), random=Random(1), replica="r", observer=NullObserver())
    async with server.listening() as where, asyncio.TaskGroup() as tasks:
        watched = Scraper(picker, Counts(), time.monotonic, Access(lambda _: BUILT_IN["vllm"]), Random(1))
        made = KeyedModels(picker, watched, time.monotonic)
        picker.replace_pools(pools(where), time.monotonic())
        watched.replace_pools(pools(where))
        running = [tasks.create_task(watched.run()), tasks.create_task(made.run())]
        await until(lambda: bool(watched.locked(None)))
        yield made
        for each in running:
            each.cancel()


def listing(key: str | None, pool: PoolId | None = POOL) -> Request:
    return Request(pool, "GET", "/v1/models", {} if key is None else {"authorization": key})


def names(verdict: Verdict) -> list[str]:
    assert isinstance(verdict, Reply)
    return [item["id"] for item in orjson.loads(verdict.body)["data"]]


async def test_a_client_with_the_key_gets_the_models_base_before_adapters() -> None:
    async with keyed(LockedServer()) as made:
        client = Client()

        assert isinstance(made.submit(listing(KEY), client, time.monotonic()), Ticket)

        assert names(await client.decided) == ["qwen", "tuned"]


async def test_a_client_without_a_key_or_with_another_gets_what_is_known_without() -> None:
    server = LockedServer()
    async with keyed(server) as made:
        client = Client()

        without = made.submit(listing(None), client, time.monotonic())
        made.submit(listing("Bearer wrong"), client, time.monotonic())

        assert not isinstance(without, Ticket)
        assert names(without) == []
        assert names(await client.decided) == []
        assert server.listed == 0


async def test_a_key_goes_to_no_server_of_another_pool() -> None:
    server = LockedServer()
    async with keyed(server) as made:
        verdict = made.submit(listing(KEY, PoolId("default/other")), Client(), time.monotonic())

        assert not isinstance(verdict, Ticket)
        assert server.listed == 0


async def test_a_key_with_control_characters_is_not_passed_on() -> None:
    server = LockedServer()
    async with keyed(server) as made:
        verdict = made.submit(listing(f"{KEY}\r\nx: y"), Client(), time.monotonic())

        assert not isinstance(verdict, Ticket)
        assert server.listed == 0


async def test_a_server_that_does_not_answer_delays_the_list_by_a_bound() -> None:
    async with keyed(LockedServer(is_slow=True)) as made:
        client, started = Client(), time.monotonic()
        made.submit(listing(KEY), client, started)

        assert names(await client.decided) == []
        assert time.monotonic() - started < TIMEOUT_SECONDS + 2.0  # a busy host may take its time


async def test_a_client_that_leaves_is_never_decided_about() -> None:
    async with keyed(LockedServer(is_slow=True)) as made:
        client = Client()
        ticket = made.submit(listing(KEY), client, time.monotonic())
        assert isinstance(ticket, Ticket)

        made.cancel(ticket, time.monotonic())
        await asyncio.sleep(0.1)

        assert not client.decided.done()


async def test_more_lists_than_the_bound_are_answered_with_what_is_known() -> None:
    async with keyed(LockedServer(is_slow=True)) as made:
        waiting = [made.submit(listing(KEY), Client(), time.monotonic()) for _ in range(MAX_LISTS)]
        verdict = made.submit(listing(KEY), Client(), time.monotonic())

        assert all(isinstance(each, Ticket) for each in waiting)
        assert not isinstance(verdict, Ticket)
        assert names(verdict) == []


async def test_other_requests_pass_through() -> None:
    async with keyed(LockedServer()) as made:
        body = b'{"model": "qwen", "prompt": "hello"}'
        request = Request(POOL, "POST", "/v1/completions", {"authorization": KEY}, body)

        assert not isinstance(made.submit(request, Client(), time.monotonic()), Ticket | Reply)
