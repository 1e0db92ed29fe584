"""The door on real sockets: what leaves, what is settled, and when a connection ends."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson
import pytest
import uvloop

from epp.domain import EndpointId, Outcome, Pick, PickId, PoolId, Reply, Request, Ticket, Verdict, Waiter
from epp.transports.http.limits import Limits
from epp.transports.servers.http import HttpTransport
from epp.transports.servers.http_connection import Shared
from epp.transports.servers.turns import TURNS
from gateway.service import clock
from gateway.wire.errors import ErrorCode, Rejection

pytestmark = pytest.mark.timeout(30)


class FakePicker:
    """Picks one endpoint; paths say what else to do. Counts what is reserved."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reserved: set[PickId] = set()
        self.unused: list[PickId] = []
        self.statuses: list[int] = []
        self.waiting: dict[Ticket, Waiter] = {}
        self.cancelled: list[Ticket] = []

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        self.requests.append(request)
        if request.path == "/waits":
            ticket = Ticket(len(self.requests))
            self.waiting[ticket] = waiter
            return ticket
        return self.pick(request)

    def cancel(self, ticket: Ticket, now: float) -> None:
        del self.waiting[ticket]
        self.cancelled.append(ticket)

    def decide(self, verdict: Verdict) -> None:
        """The oldest request that waits has its verdict."""
        ticket = next(iter(self.waiting))
        if isinstance(verdict, Pick):
            self.reserved.add(verdict.id)
        self.waiting.pop(ticket).decide(verdict, clock.monotonic())

    def pick(self, request: Request) -> Verdict:
        if request.path == "/v1/models":
            return Reply(b'{"object":"list"}')
        if request.path == "/large":
            return Reply(b"a" * 20_000_000)
        if request.path == "/full":
            return Rejection(429, ErrorCode.POOL_SATURATED, "full", retry_after=2)
        if request.path == "/empty":
            return Rejection(503, ErrorCode.NO_READY_ENDPOINT, "nobody is there")
        id_ = PickId(f"epp-{len(self.requests)}")
        self.reserved.add(id_)
        body, served = (b"{}", "other") if request.path == "/rewritten" else (None, None)
        return Pick(id_, PoolId("a/b"), (EndpointId("10.0.0.1:8000"),), body=body, model="m", served_model=served)

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        if pick_id in self.reserved:
            assert outcome is Outcome.UNUSED
            self.reserved.remove(pick_id)
            self.unused.append(pick_id)

    def answered(self, status: int) -> None:
        self.statuses.append(status)


@asynccontextmanager
async def transport(picker: FakePicker, limits: Limits | None = None, *, is_ready: bool = True) -> AsyncIterator[int]:
    shared = Shared(
        picker,
        clock.monotonic,
        picker,
        base_models=lambda: {"m": "base"},
        is_ready=lambda: is_ready,
        limits=limits or Limits(),
    )
    async with HttpTransport(shared).serving("127.0.0.1", 0) as port:
        assert port is not None
        yield port


def question(path: str = "/v1/completions", body: bytes = b"{}", *lines: str) -> bytes:
    head = (f"POST {path} HTTP/1.1", "host: epp", f"content-length: {len(body)}", *lines, "", "")
    return "\r\n".join(head).encode() + body


class Peer:
    """A raw connection to the door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        start, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        return int(start.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True

    def reset(self) -> None:
        """Close with a reset, as a process does that dies with bytes unread."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.005)


async def test_one_connection_carries_many_questions() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        for number in range(1, 4):
            await envoy.send(question())
            status, headers, _ = await envoy.answer()
            assert (status, headers["x-pointsman-pick-id"]) == (200, f"epp-{number}")
            assert headers["x-gateway-destination-endpoint"] == "10.0.0.1:8000"
    assert picker.statuses == [200, 200, 200]


async def test_every_kind_of_verdict_has_its_answer() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/full"))
        status, headers, body = await envoy.answer()
        assert (status, headers["retry-after"], headers["content-type"]) == (429, "2", "application/json")
        assert orjson.loads(body)["error"]["code"] == "pool_saturated"
        await envoy.send(question("/empty"))
        status, headers, body = await envoy.answer()
        assert (status, headers["x-gateway-picker-verdict"], body) == (200, "no_ready_endpoint", b"")
        await envoy.send(b"GET /v1/models HTTP/1.1\r\nhost: epp\r\n\r\n")
        assert (await envoy.answer())[::2] == (200, b'{"object":"list"}')
        await envoy.send(question("/v1/completions", b"{}", "x-gateway-model-headers: 1"))
        assert (await envoy.answer())[1]["x-gateway-base-model-name"] == "base"
    assert picker.statuses == [429, 503, 200, 200]


async def test_a_pick_that_cannot_be_said_is_not_kept() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/rewritten"))
        status, headers, _ = await envoy.answer()
        assert (status, headers["x-gateway-picker-verdict"]) == (200, "internal_error")
        assert not picker.reserved


async def test_pipelined_questions_are_answered_in_order_and_a_bad_one_ends_it() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/full") + question() + b"\x16\x03\x01\r\n\r\n" + question())
        assert [(await envoy.answer())[0] for _ in range(3)] == [429, 200, 400]
        assert await envoy.is_closed()
    assert len(picker.requests) == 2
    assert picker.statuses == [429, 200, 400]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("content-length: 3\r\ntransfer-encoding: chunked", 400),
        ("content-length: 3\r\ncontent-length: 4", 400),
        ("transfer-encoding: chunked", 411),
        ("transfer-encoding: chunked, identity", 400),
        ("x-a: b\r\n folded", 400),
        ("content-length: 67108865", 413),
        ("x-a: " + "a" * 70_000, 431),
        ("expect: a-miracle", 417),
    ],
)
async def test_what_is_refused_reserves_nothing_and_ends_the_connection(lines: str, expected: int) -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(f"POST / HTTP/1.1\r\nhost: epp\r\n{lines}\r\n\r\n".encode() + b"0\r\n\r\n" * 20)
        status, headers, body = await envoy.answer()
        assert (status, headers["connection"]) == (expected, "close")
        assert orjson.loads(body)["error"]["message"]
        assert await envoy.is_closed()
    assert not picker.requests


async def test_a_refusal_reaches_a_peer_that_goes_on_sending() -> None:
    async with transport(FakePicker()) as port, peer(port) as envoy:
        await envoy.send(b"POST / HTTP/1.1\r\nhost: epp\r\ncontent-length: 67108865\r\n\r\n" + b"a" * 1_000_000)
        assert (await envoy.answer())[0] == 413
        assert await envoy.is_closed()


async def test_http_1_0_gets_one_answer() -> None:
    async with transport(FakePicker()) as port, peer(port) as client:
        await client.send(b"GET /v1/models HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.is_closed()


async def test_a_body_that_is_expected_to_continue_is_asked_for() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as client:
        await client.send(question("/full", b"", "expect: 100-continue").replace(b"length: 0", b"length: 2"))
        assert (await client.answer())[0] == 100
        await client.send(b"{}")
        assert (await client.answer())[0] == 429
    assert picker.requests[0].body == b"{}"


async def test_a_large_body_arrives_whole() -> None:
    picker, body = FakePicker(), b"0123456789abcdef" * 500_000
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/v1/completions", body))
        assert (await envoy.answer())[0] == 200
    assert picker.requests[0].body == body


async def test_a_half_sent_request_is_answered_408_and_an_idle_connection_closed() -> None:
    picker = FakePicker()
    limits = Limits(request_seconds=0.5, idle_seconds=2.0)
    async with transport(picker, limits) as port, peer(port) as slow, peer(port) as idle:
        await slow.send(question()[:-1])
        assert (await slow.answer())[0] == 408
        assert await slow.is_closed()
        assert await idle.is_closed()
    assert picker.statuses == [408]
    assert not picker.requests


async def test_a_question_whose_asker_is_gone_reserves_nothing() -> None:
    picker = FakePicker()
    async with transport(picker) as port:
        async with peer(port) as envoy:
            await envoy.send(question())
        await until(lambda: len(picker.unused) == 1)
        async with peer(port) as envoy:
            await envoy.send(question())
            envoy.reset()
        await asyncio.sleep(0.05)
        async with peer(port) as envoy:
            await envoy.send(question()[:-1])
        await asyncio.sleep(0.05)
    assert not picker.reserved


async def test_an_answer_that_was_taken_stays_reserved() -> None:
    picker = FakePicker()
    async with transport(picker) as port:
        async with peer(port) as envoy:
            await envoy.send(question())
            await envoy.answer()
            await asyncio.sleep(0.2)
        async with peer(port) as client:
            await client.send(question("/v1/completions", b"{}", "connection: close"))
            await client.answer()
        await asyncio.sleep(0.05)
        assert picker.reserved == {"epp-1", "epp-2"}
    assert not picker.unused


async def test_a_peer_that_does_not_read_is_not_waited_for() -> None:
    picker = FakePicker()
    async with transport(picker, Limits(request_seconds=0.5)) as port:
        raw = socket.create_connection(("127.0.0.1", port))
        try:
            raw.sendall(question("/large") + question())
            await until(lambda: len(picker.requests) == 2)
            await until(lambda: not picker.reserved)
        finally:
            raw.close()


async def test_a_verdict_that_comes_later_answers_in_the_requests_turn() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/waits") + question("/full") + question("/waits"))
        await until(lambda: len(picker.waiting) == 1)
        await asyncio.sleep(0.05)
        assert [request.path for request in picker.requests] == ["/waits"]
        picker.decide(Pick(PickId("epp-late"), PoolId("a/b"), (EndpointId("10.0.0.1:8000"),)))
        status, headers, _ = await envoy.answer()
        assert (status, headers["x-pointsman-pick-id"]) == (200, "epp-late")
        assert (await envoy.answer())[0] == 429
        await until(lambda: len(picker.waiting) == 1)
        picker.decide(Rejection(429, ErrorCode.POOL_SATURATED, "full", retry_after=1.2))
        status, headers, _ = await envoy.answer()
        assert (status, headers["retry-after"]) == (429, "2")
    assert picker.statuses == [200, 429, 429]


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_request_that_waits_is_cancelled_when_its_connection_is_lost(leave: str) -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/waits"))
        await until(lambda: len(picker.waiting) == 1)
        envoy.reset() if leave == "reset" else envoy.writer.close()
        await until(lambda: picker.cancelled == [Ticket(1)])


async def test_a_late_pick_whose_connection_is_lost_in_the_same_moment_is_unused() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/waits"))
        await until(lambda: len(picker.waiting) == 1)
        connection = next(iter(picker.waiting.values()))
        picker.decide(Pick(PickId("epp-late"), PoolId("a/b"), (EndpointId("10.0.0.1:8000"),)))
        connection.abort()  # type: ignore[attr-defined]
        await until(lambda: picker.unused == ["epp-late"])
    assert not picker.cancelled


async def test_a_late_pick_that_the_transport_cannot_carry_is_unused_without_calling_the_picker_back() -> None:
    picker = FakePicker()
    async with transport(picker) as port, peer(port) as envoy:
        await envoy.send(question("/waits"))
        await until(lambda: len(picker.waiting) == 1)
        picker.decide(Pick(PickId("epp-late"), PoolId("a/b"), (EndpointId("10.0.0.1:8000"),), served_model="other"))
        assert not picker.unused
        assert (await envoy.answer())[1]["x-gateway-picker-verdict"] == "internal_error"
        assert picker.unused == ["epp-late"]


async def test_a_request_may_wait_longer_than_any_request_may_take_to_come() -> None:
    picker = FakePicker()
    async with transport(picker, Limits(request_seconds=0.5, idle_seconds=1.0)) as port, peer(port) as envoy:
        await envoy.send(question("/waits"))
        await asyncio.sleep(2.5)
        picker.decide(Rejection(429, ErrorCode.POOL_SATURATED, "full"))
        assert (await envoy.answer())[0] == 429


async def test_a_peer_that_sends_on_and_on_behind_a_request_that_waits_is_cut() -> None:
    picker = FakePicker()
    async with transport(picker, Limits(held_bytes=100_000)) as port, peer(port) as envoy:
        await envoy.send(question("/waits") + b"x" * 50_000)
        await until(lambda: len(picker.waiting) == 1)
        await asyncio.sleep(0.05)
        assert not picker.cancelled
        await envoy.send(b"x" * 60_000)
        assert await envoy.is_closed()
    assert picker.cancelled == [Ticket(1)]


async def test_a_health_check_follows_readiness_and_asks_nobody() -> None:
    picker = FakePicker()
    check = b"GET /v1/completions HTTP/1.1\r\nhost: epp\r\nx-gateway-picker-health: 1\r\n\r\n"
    for is_ready, expected in ((True, 200), (False, 503)):
        async with transport(picker, is_ready=is_ready) as port, peer(port) as envoy:
            await envoy.send(check)
            assert (await envoy.answer())[0] == expected
    assert not picker.requests


async def test_a_body_check_refuses_a_bad_body_and_asks_nobody() -> None:
    picker = FakePicker()
    marks = ("content-type: application/json", "x-gateway-model-headers: check")
    async with transport(picker) as port, peer(port) as envoy:
        for body, expected in ((b'{"model": 5}', 400), (b'{"model": "nobody"}', 200)):
            await envoy.send(question("/v1/completions", body, *marks))
            status, headers, _ = await envoy.answer()
            assert (status, "x-gateway-destination-endpoint" in headers) == (expected, False)
    assert not picker.requests
    assert picker.statuses == [400, 200]


async def test_a_closing_door_answers_what_has_begun_and_lets_the_rest_go() -> None:
    picker = FakePicker()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(transport(picker))
        async with peer(port) as begun, peer(port) as idle:
            await begun.send(question("/full")[:-1])
            await idle.send(question("/full"))
            await idle.answer()
            async with asyncio.TaskGroup() as group:
                group.create_task(stack.aclose())
                assert await idle.is_closed()
                await begun.send(b"}")
                status, headers, _ = await begun.answer()
                assert (status, headers["connection"]) == (429, "close")
                assert await begun.is_closed()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
    assert len(picker.requests) == 2


async def test_more_connections_than_allowed_are_turned_away() -> None:
    async with transport(FakePicker(), Limits(connections=1)) as port, peer(port) as first:
        await first.send(question("/full"))
        assert (await first.answer())[0] == 429
        async with peer(port) as second:
            assert await second.is_closed()
        await first.send(question("/full"))
        assert (await first.answer())[0] == 429


async def test_a_unix_socket_serves_too_and_replaces_a_leftover(tmp_path: Path) -> None:
    picker, path = FakePicker(), tmp_path / "epp.sock"
    with socket.socket(socket.AF_UNIX) as leftover:
        leftover.bind(str(path))
    opened = HttpTransport(Shared(picker, clock.monotonic, picker))
    async with opened.serving("127.0.0.1", None, path) as port:
        assert port is None
        reader, writer = await asyncio.open_unix_connection(path)
        envoy = Peer(reader, writer)
        await envoy.send(question())
        assert (await envoy.answer())[0] == 200
        writer.close()
    assert not path.exists()


async def crowd(port: int, stack: AsyncExitStack, size: int) -> list[Peer]:
    """Connections that have all been used once."""
    peers = [await stack.enter_async_context(peer(port)) for _ in range(size)]
    for each in peers:
        await each.send(question("/full"))
        await each.answer()
    return peers


async def test_a_crowd_of_questions_leaves_turns_to_whatever_else_lives_on_the_loop() -> None:
    picker, rounds, picked_in = FakePicker(), 0, Counter[int]()
    loop = asyncio.get_running_loop()

    def count() -> None:
        nonlocal rounds
        rounds += 1
        loop.call_soon(count)

    async with transport(picker) as port, AsyncExitStack() as stack:
        peers = await crowd(port, stack, 100)
        pick = picker.pick
        picker.pick = lambda request: (picked_in.update([rounds]), pick(request))[1]  # type: ignore[method-assign]
        loop.call_soon(count)
        for each in peers:
            each.writer.write(question())
        for each in peers:
            assert (await each.answer())[0] == 200
        count = lambda: None  # noqa: E731 - the counting ends
    assert sum(picked_in.values()) == 100
    assert max(picked_in.values()) <= 2 * TURNS


async def test_whoever_leaves_while_waiting_for_a_turn_is_not_asked_about() -> None:
    picker = FakePicker()
    async with transport(picker) as port, AsyncExitStack() as stack:
        raws = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(64)]
        await asyncio.sleep(0.1)  # until the door has accepted them all, which takes no turn
        for raw in raws:
            raw.sendall(question())
            raw.shutdown(socket.SHUT_RDWR)
        await until(lambda: len(picker.requests) >= TURNS)
        await asyncio.sleep(0.1)
        assert len(picker.requests) < 64
        assert not picker.reserved


@pytest.mark.parametrize(
    "scenario",
    [
        test_one_connection_carries_many_questions,
        test_pipelined_questions_are_answered_in_order_and_a_bad_one_ends_it,
        test_a_refusal_reaches_a_peer_that_goes_on_sending,
        test_a_large_body_arrives_whole,
        test_a_half_sent_request_is_answered_408_and_an_idle_connection_closed,
        test_a_question_whose_asker_is_gone_reserves_nothing,
        test_an_answer_that_was_taken_stays_reserved,
        test_a_peer_that_does_not_read_is_not_waited_for,
        test_a_closing_door_answers_what_has_begun_and_lets_the_rest_go,
        test_more_connections_than_allowed_are_turned_away,
        test_a_crowd_of_questions_leaves_turns_to_whatever_else_lives_on_the_loop,
        test_whoever_leaves_while_waiting_for_a_turn_is_not_asked_about,
        test_a_verdict_that_comes_later_answers_in_the_requests_turn,
        test_a_late_pick_whose_connection_is_lost_in_the_same_moment_is_unused,
        test_a_peer_that_sends_on_and_on_behind_a_request_that_waits_is_cut,
    ],
)
def test_the_loop_of_production_is_no_exception(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
