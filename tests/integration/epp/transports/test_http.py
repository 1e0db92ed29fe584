"""The door on real sockets: what leaves, what is settled, and when a connection ends."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from epp.transports.http.limits import Limits
from epp.transports.servers.http import HttpTransport
from epp.transports.servers.http_connection import Shared
from gateway.service import clock
from tests.integration.epp.transports.http_peer import FakePicker, Peer, peer, question, transport, until

pytestmark = pytest.mark.timeout(30)


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
