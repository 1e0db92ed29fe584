"""Every body mode with the real Envoy: what the upstream and the client get is what was sent, whatever the mode.

One Envoy with a listener for each pair of modes, the picker's conversation behind the real gRPC shell, and an upstream
that echoes. All in this process but Envoy.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from epp.domain import EndpointId, Feedback, Outcome, Pick, PickId, PoolId, Request, Ticket, Verdict, Waiter
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.streams import GRACE_SECONDS, OpenStreams
from epp.transports.route import Route
from gateway.extproc.codec import Codec
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.messages import BodyReceived, Direction, Event
from gateway.rpc.limits import Settings
from gateway.rpc.server import Serving, Transport, serving
from gateway.service import admin, clock
from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.protocol import BODY_LIMIT_BYTES
from tests.conftest import free_ports
from tests.integration.epp.transports.plain_envoy import LARGEST_BODY, Tree, cluster, echo_server, envoy

pytestmark = pytest.mark.envoy

MODES = {
    "plain": ("NONE", "NONE"),
    "buffered": ("BUFFERED", "NONE"),
    "buffered both ways": ("BUFFERED", "BUFFERED"),
    "partial": ("BUFFERED_PARTIAL", "BUFFERED_PARTIAL"),
    "streamed": ("STREAMED", "STREAMED"),
    "full duplex": ("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED"),
    "full duplex request": ("FULL_DUPLEX_STREAMED", "NONE"),
}
SEES_BODY = [name for name, (request, _) in MODES.items() if request not in ("NONE", "STREAMED")]
# Far more often than in earnest, so that no answer here is too short to hear one.
PINGS = Settings(keepalive_seconds=0.05)
REWRITES = [name for name in SEES_BODY if name != "partial"]


@dataclass
class FakePicker:
    """Picks always; `rewrites` gives another body, `refuses` refuses."""

    rewrites: bytes | None = None
    refuses: bool = False
    served_model: str | None = None
    requests: list[Request] = field(default_factory=list)
    settled: list[PickId] = field(default_factory=list)
    feedbacks: list[Feedback] = field(default_factory=list)
    picked: int = 0

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict:
        self.requests.append(request)
        if self.refuses:
            return Rejection(429, ErrorCode.POOL_SATURATED, "busy", retry_after=3.0)
        self.picked += 1
        target = (EndpointId("10.0.0.1:80"),)
        return Pick(
            PickId(f"r-{self.picked}"), PoolId("p"), target, body=self.rewrites, model="alias",
            served_model=self.served_model,
        )  # fmt: skip

    def cancel(self, ticket: Ticket, now: float) -> None: ...

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        self.settled.append(pick_id)

    def observe(self, feedback: Feedback, now: float) -> None:
        self.feedbacks.append(feedback)


class WatchedCodec(Codec):
    """Counts the messages with a body of an answer."""

    answers = 0

    def decode(self, data: bytes) -> Event:
        event = super().decode(data)
        self.answers += isinstance(event, BodyReceived) and event.direction is Direction.RESPONSE
        return event


class Counts:
    def __init__(self) -> None:
        self.violations: list[str] = []

    def violation(self, reason: str) -> None:
        self.violations.append(reason)


def http_filter(request: str, response: str) -> Tree:
    send = {"request_trailer_mode": "SEND"} if request.startswith("FULL") else {}
    send |= {"response_trailer_mode": "SEND"} if response.startswith("FULL") else {}
    return {
        "name": "picker",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "picker"}},
            "message_timeout": "10s",
            "allow_mode_override": True,
            "processing_mode": {
                "request_header_mode": "SEND", "response_header_mode": "SEND",
                "request_body_mode": request, "response_body_mode": response, **send,
            },
            "metadata_options": {"receiving_namespaces": {"untyped": ["envoy.lb"]}},
        },
    }  # fmt: skip


@dataclass
class Gateway:
    ports: dict[str, int]
    client: aiohttp.ClientSession
    picker: FakePicker
    counts: Counts
    streams: OpenStreams
    codec: WatchedCodec

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}/v1/completions"

    async def post(self, name: str, body: bytes, **options) -> tuple[int, bytes, str]:
        async with self.client.post(self.url(name), data=io.BytesIO(body), **options) as answer:
            return answer.status, await answer.read(), answer.headers.get("x-destination", "")

    @asynccontextmanager
    async def acting(self, **changes) -> AsyncIterator[FakePicker]:
        """A picker of its own for a while; at the end every pick has been settled."""
        self.picker.__dict__.update(FakePicker(**changes).__dict__)
        yield self.picker
        await self.settles()
        self.picker.__dict__.update(FakePicker().__dict__)

    async def settles(self) -> None:
        async with asyncio.timeout(10):
            while len(self.picker.settled) < self.picker.picked:
                await asyncio.sleep(0.01)
        assert len(set(self.picker.settled)) == self.picker.picked
        self.streams.report(clock.monotonic() + GRACE_SECONDS)


@pytest.fixture(params=list(Transport), ids=lambda transport: transport.value)
async def gateway(envoy_binary: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    async with running(envoy_binary, tmp_path, Serving(transport=request.param, settings=PINGS)) as found:
        yield found


@asynccontextmanager
async def running(
    envoy_binary: Path, folder: Path, served: Serving, connection_buffer: int = LARGEST_BODY
) -> AsyncIterator[Gateway]:
    picker, counts, codec = FakePicker(), Counts(), WatchedCodec()
    streams = OpenStreams(picker, lambda: False)
    processor = ExternalProcessor(
        lambda _, push: PickConversation(Route(), picker, streams, push), codec, clock.monotonic, counts
    )
    ports = dict(zip(MODES, free_ports(len(MODES)), strict=True))
    filters = {ports[name]: http_filter(*modes) for name, modes in MODES.items()}
    async with (
        serving([processor], "127.0.0.1:0", served) as port,
        admin.serving(echo_server(), "127.0.0.1", 0) as upstream,
        envoy(
            envoy_binary,
            folder,
            filters,
            [cluster("picker", port, http2=True), cluster("upstream", upstream)],
            connection_buffer=connection_buffer,
        ),
        aiohttp.ClientSession() as client,
    ):
        found = Gateway(ports, client, picker, counts, streams, codec)
        async with asyncio.timeout(20):
            for name in MODES:
                while True:
                    try:
                        await found.post(name, b"")
                        break
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0.05)
        await found.settles()
        async with found.acting():
            yield found
        assert counts.violations == []


SIZES = (0, 1, 62_000, 62_001, 300_000, 3_000_000)


async def test_bodies_of_any_size_pass_both_ways_unchanged_and_the_upstream_learns_the_pick(gateway: Gateway) -> None:
    for name in MODES:
        for size in SIZES:
            body = (
                bytes(index % 251 for index in range(min(size, 1000))) * (size // 1000) if size > 1000 else b"x" * size
            )
            status, answer, destination = await gateway.post(name, body)
            assert (name, size, status, destination) == (name, size, 200, "10.0.0.1:80")
            assert answer == body, (name, size)
    await gateway.settles()
    assert gateway.picker.picked == len(MODES) * len(SIZES)


async def test_the_brain_sees_the_whole_body_where_the_mode_lets_it(gateway: Gateway) -> None:
    for name in MODES:
        async with gateway.acting() as picker:
            await gateway.post(name, b'{"prompt":"hello"}')
            assert (name, picker.requests[0].body) == (name, b'{"prompt":"hello"}' if name in SEES_BODY else b"")


async def test_a_rewritten_body_arrives_whole(gateway: Gateway) -> None:
    for name in REWRITES:
        for new in (b"shorter", b"longer" * 50_000):
            async with gateway.acting(rewrites=new):
                assert (name, *(await gateway.post(name, b"the body as it came"))[:2]) == (name, 200, new)


async def test_the_client_gets_its_own_name_of_the_model_back_where_answers_pass_through(gateway: Gateway) -> None:
    text = rb"say \"model\": \"real\", " * 10_000
    for name, (_, response) in MODES.items():
        if name not in REWRITES:
            continue
        sent = b'{"model": "real", "text": "' + text + b'"}'
        shown = sent.replace(b'"model": "real"', b'"model": "alias"') if response.startswith("FULL") else sent
        async with gateway.acting(rewrites=sent, served_model="real"):
            assert (name, *(await gateway.post(name, b'{"model": "alias"}'))[:2]) == (name, 200, shown)


async def test_usage_is_asked_for_where_answers_pass_through(gateway: Gateway) -> None:
    for name, (request, response) in MODES.items():
        async with gateway.acting():
            _, echoed, _ = await gateway.post(name, b'{"model": "m", "stream": true}')
        asks = request in ("FULL_DUPLEX_STREAMED", "BUFFERED") and response.startswith("FULL")
        assert (name, b"include_usage" in echoed) == (name, asks)


async def test_an_answer_that_nobody_reads_is_not_sent_where_that_may_be_asked(gateway: Gateway) -> None:
    answers = {}
    for is_logged in (False, True):
        gateway.streams.is_logged = partial(bool, is_logged)
        for name in MODES:
            gateway.codec.answers = 0
            async with gateway.acting():
                assert (name, *(await gateway.post(name, b"x" * 300_000))[:2]) == (name, 200, b"x" * 300_000)
            answers[name, is_logged] = gateway.codec.answers

    seen = [name for name, (_, response) in MODES.items() if response != "NONE"]
    assert [name for name in MODES if answers[name, False]] == seen
    assert [name for name in MODES if answers[name, True]] == ["full duplex"]  # which Envoy does not leave


@pytest.mark.parametrize("transport", list(Transport))
async def test_an_upload_larger_than_any_body_that_is_held_passes_behind_its_model(
    envoy_binary: Path, tmp_path: Path, transport: Transport
) -> None:
    head = b'--xyz\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    file = b'--xyz\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    upload = head + file + b"\x00" * (BODY_LIMIT_BYTES + 2**20) + b"\r\n--xyz--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=xyz"}
    served = Serving(transport=transport)
    async with running(envoy_binary, tmp_path, served, 2**19) as gateway, gateway.acting() as picker:
        status, echoed, destination = await gateway.post("full duplex request", upload, headers=headers)
        assert (status, echoed == upload, destination) == (200, True, "10.0.0.1:80")
        (request,) = picker.requests
        assert request.is_begun
        assert head in request.body
        assert len(request.body) < 2**20  # one message of Envoy's


async def test_a_refusal_reaches_the_client_in_its_shape(gateway: Gateway) -> None:
    for name in MODES:
        async with gateway.acting(refuses=True) as picker:
            async with gateway.client.post(gateway.url(name), data=b"{}") as answer:
                assert (name, answer.status) == (name, 429)
                assert answer.content_type == "application/json"
                assert answer.headers["retry-after"] == "3"
                assert (await answer.json())["error"]["code"] == "pool_saturated"
            assert picker.settled == []


async def test_a_chunked_upload_with_trailers_is_decided_and_passes(gateway: Gateway) -> None:
    for name in MODES:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.ports[name])
        writer.write(b"POST / HTTP/1.1\r\nhost: e\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        writer.write(b"3\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n")
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 200 OK"), (name, answer)
        assert b"abc" in answer, name


async def test_without_an_access_log_the_response_is_told_with_its_first_byte_where_bodies_are_seen(
    gateway: Gateway,
) -> None:
    for name, (_, response) in MODES.items():
        async with gateway.acting() as picker:
            await gateway.post(name, b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}')
            await gateway.settles()
            (feedback,) = picker.feedbacks
            assert (name, feedback.status) == (name, 200)
            sees = response != "NONE"
            assert (name, feedback.prompt_tokens, feedback.ttft_seconds is not None) == (
                name,
                3 if sees else None,
                sees,
            )


async def test_envoy_takes_the_pings_of_a_long_answer_and_its_stream_stays_open(gateway: Gateway) -> None:
    async with gateway.acting() as picker, asyncio.TaskGroup() as group:
        requests = [group.create_task(gateway.post(name, b"{}", headers={"x-wait": "3"})) for name in MODES]
        async with asyncio.timeout(2):
            while picker.picked < len(MODES):
                await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        assert (picker.settled, len(gateway.streams.picks)) == ([], len(MODES))
    assert [task.result()[:2] for task in requests] == [(200, b"{}")] * len(MODES)


async def test_a_client_that_leaves_settles_its_pick(gateway: Gateway) -> None:
    for name in ("buffered", "full duplex"):
        async with gateway.acting() as picker:
            body = b"x" * 20_000_000
            answer = await gateway.client.post(gateway.url(name), data=io.BytesIO(body))
            assert answer.status == 200
            answer.close()  # in the middle of the answer
            await gateway.settles()
            assert len(picker.settled) == 1
