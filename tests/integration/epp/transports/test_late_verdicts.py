"""Verdicts that come three seconds late, with the real Envoy: both transports wait for them, and notice who leaves."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from epp.domain import EndpointId, Feedback, Outcome, Pick, PickId, PoolId, Request, Ticket, Verdict, Waiter
from epp.transports.extproc.streams import OpenStreams
from epp.transports.servers.extproc import Picks, external_processor
from epp.transports.servers.http import HttpTransport
from epp.transports.servers.http_connection import Shared
from gateway.rpc.server import Serving, Transport, serving
from gateway.service import admin, clock
from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.protocol import DESTINATION_ENDPOINT, LONGEST_WAIT_METADATA
from tests.conftest import free_ports
from tests.integration.epp.transports.plain_envoy import Tree, cluster, echo_server, envoy

pytestmark = pytest.mark.envoy

LATE_SECONDS = 3.0
MESSAGE_SECONDS, LONGEST_SECONDS = 1, 10
PICK = Pick(PickId("r-1"), PoolId("p"), (EndpointId("10.0.0.1:80"),))
BUSY = Rejection(429, ErrorCode.POOL_SATURATED, "busy", retry_after=3.0)
# Where no wait is announced, the picker asks for no more time.
LISTENERS = ("buffered", "full duplex", "without a longest wait", "http")


@dataclass
class FakePicker:
    """Lets every request wait."""

    waiting: dict[Ticket, Waiter] = field(default_factory=dict)
    cancelled: list[Ticket] = field(default_factory=list)
    settled: list[tuple[PickId, Outcome]] = field(default_factory=list)
    submitted: int = 0
    answers_at_once: bool = True

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        if self.answers_at_once:
            return BUSY
        self.submitted += 1
        ticket = Ticket(self.submitted)
        self.waiting[ticket] = waiter
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> None:
        del self.waiting[ticket]
        self.cancelled.append(ticket)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        self.settled.append((pick_id, outcome))

    def observe(self, feedback: Feedback, now: float) -> None: ...

    def answered(self, status: int) -> None: ...

    def violation(self, reason: str) -> None:
        raise AssertionError(reason)

    async def decide(self, verdict: Verdict) -> None:
        """The next request gets its verdict late."""
        async with asyncio.timeout(10):
            while not self.waiting:
                await asyncio.sleep(0.01)
        await asyncio.sleep(LATE_SECONDS)
        if self.waiting:
            self.waiting.pop(next(iter(self.waiting))).decide(verdict, clock.monotonic())


def ext_proc(mode: str, *, announces: bool = True) -> Tree:
    trailers = {"request_trailer_mode": "SEND"} if mode.startswith("FULL") else {}
    metadata = [{"key": LONGEST_WAIT_METADATA, "value": str(LONGEST_SECONDS)}] if announces else []
    return {
        "name": "picker",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "picker"}, "initial_metadata": metadata},
            "message_timeout": f"{MESSAGE_SECONDS}s",
            "max_message_timeout": f"{LONGEST_SECONDS}s",
            "processing_mode": {
                "request_header_mode": "SEND", "response_header_mode": "SKIP", "request_body_mode": mode, **trailers,
            },
        },
    }  # fmt: skip


def ext_authz() -> Tree:
    return {
        "name": "picker",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "http_service": {
                "server_uri": {"uri": "http://picker", "cluster": "picker-http", "timeout": f"{LONGEST_SECONDS}s"},
                "authorization_response": {
                    "allowed_upstream_headers": {"patterns": [{"exact": DESTINATION_ENDPOINT}]},
                    "allowed_client_headers": {"patterns": [{"exact": "content-type"}, {"exact": "retry-after"}]},
                },
            },
            "with_request_body": {"max_request_bytes": 1_000_000},
        },
    }


@dataclass
class Gateway:
    ports: dict[str, int]
    admin: int
    client: aiohttp.ClientSession
    picker: FakePicker

    async def post(self, name: str) -> tuple[int, str, str | None]:
        url = f"http://127.0.0.1:{self.ports[name]}/v1/completions"
        async with self.client.post(url, data=io.BytesIO(b"{}")) as answer:
            return answer.status, answer.headers.get("x-destination", ""), answer.headers.get("retry-after")

    async def stats(self, pattern: str) -> dict[str, int]:
        url = f"http://127.0.0.1:{self.admin}/stats?format=json&filter={pattern}"
        async with self.client.get(url) as answer:
            found = (await answer.json(content_type=None))["stats"]
        return {item["name"].rpartition(".")[2]: item["value"] for item in found if "name" in item}


@asynccontextmanager
async def started(binary: Path, folder: Path, grpc: Transport) -> AsyncIterator[Gateway]:
    picker = FakePicker()
    processor = external_processor(Picks(picker, OpenStreams(picker, lambda: True), clock.monotonic), picker)
    *numbers, admin_port = free_ports(len(LISTENERS) + 1)
    ports = dict(zip(LISTENERS, numbers, strict=True))
    filters = (
        ext_proc("BUFFERED"), ext_proc("FULL_DUPLEX_STREAMED"), ext_proc("BUFFERED", announces=False), ext_authz(),
    )  # fmt: skip
    transport = HttpTransport(Shared(picker, clock.monotonic, picker))
    async with (
        serving([processor], "127.0.0.1:0", Serving(transport=grpc)) as grpc_port,
        transport.serving("127.0.0.1", 0) as http_port,
        admin.serving(echo_server(), "127.0.0.1", 0) as upstream,
        envoy(
            binary,
            folder,
            dict(zip(numbers, filters, strict=True)),
            [
                cluster("picker", grpc_port, http2=True),
                cluster("picker-http", http_port or 0),
                cluster("upstream", upstream),
            ],
            admin=admin_port,
        ),
        aiohttp.ClientSession() as client,
    ):
        gateway = Gateway(ports, admin_port, client, picker)
        async with asyncio.timeout(20):
            for name in LISTENERS:
                while not await _answers(gateway, name):
                    await asyncio.sleep(0.05)
        picker.answers_at_once = False
        yield gateway


async def _answers(gateway: Gateway, name: str) -> bool:
    try:
        return (await gateway.post(name))[0] == 429
    except aiohttp.ClientConnectionError:
        return False


@pytest.fixture(params=list(Transport), ids=lambda transport: transport.value)
async def gateway(envoy_binary: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    async with started(envoy_binary, tmp_path, request.param) as found:
        yield found


@pytest.mark.parametrize("name", ["buffered", "full duplex", "http"])
async def test_a_pick_that_comes_late_is_taken(gateway: Gateway, name: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.picker.decide(PICK))
        answer = group.create_task(gateway.post(name))
    assert answer.result()[:2] == (200, "10.0.0.1:80")
    assert not gateway.picker.cancelled


@pytest.mark.parametrize("name", ["buffered", "full duplex", "http"])
async def test_a_refusal_that_comes_late_reaches_the_client(gateway: Gateway, name: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.picker.decide(BUSY))
        answer = group.create_task(gateway.post(name))
    assert answer.result()[::2] == (429, "3")


async def test_envoy_takes_the_longer_timeout_that_is_asked_for(gateway: Gateway) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.picker.decide(PICK))
        group.create_task(gateway.post("buffered"))
    found = await gateway.stats("ext_proc.*override_message_timeout|ext_proc.*message_timeouts")
    assert found == {
        "override_message_timeout_received": 1,
        "override_message_timeout_ignored": 0,
        "message_timeouts": 0,
    }


async def test_without_a_longest_wait_envoy_gives_up_and_the_request_is_cancelled(gateway: Gateway) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.picker.decide(PICK))
        answer = group.create_task(gateway.post("without a longest wait"))
    assert answer.result()[0] == 504
    assert gateway.picker.cancelled == [Ticket(1)]
    assert (await gateway.stats("ext_proc.*message_timeouts"))["message_timeouts"] == 1


@pytest.mark.parametrize("name", ["buffered", "full duplex", "http"])
async def test_a_client_that_leaves_cancels_its_request(gateway: Gateway, name: str) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(1.5):
                await gateway.post(name)
        while not gateway.picker.cancelled:
            await asyncio.sleep(0.01)
    assert gateway.picker.cancelled == [Ticket(1)]
    assert not gateway.picker.settled
