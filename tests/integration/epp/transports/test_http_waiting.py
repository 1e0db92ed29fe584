"""Questions that wait for their verdict or their turn: their answers, and what is settled if a peer leaves."""

import asyncio
import socket
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from epp.domain import EndpointId, Pick, PickId, PoolId, Ticket
from epp.transports.http.limits import Limits
from epp.transports.servers.turns import TURNS
from gateway.rpc.limits import LARGE_MESSAGE_BYTES, LARGE_STREAMS
from gateway.wire.errors import ErrorCode, Rejection
from tests.integration.epp.transports.http_peer import FakePicker, Peer, peer, question, transport, until

pytestmark = pytest.mark.timeout(30)


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
        for raw in raws:
            raw.sendall(question("/full"))
        await until(lambda: len(picker.requests) == len(raws))  # so the door has accepted them all
        picker.requests.clear()
        for raw in raws:
            raw.sendall(question())
            raw.shutdown(socket.SHUT_RDWR)
        await until(lambda: len(picker.requests) >= TURNS)
        await asyncio.sleep(0.1)
        assert len(picker.requests) < len(raws)
        assert not picker.reserved


async def test_large_bodies_are_received_a_few_at_a_time_and_others_pass_them() -> None:
    picker = FakePicker()
    size = 32 * LARGE_MESSAGE_BYTES  # more than sockets hold, so that what is sent has been received
    whole = question("/v1/completions", bytes(size))
    async with transport(picker) as port, AsyncExitStack() as stack:
        holders = [await stack.enter_async_context(peer(port)) for _ in range(LARGE_STREAMS)]
        for each in holders:
            await each.send(whole[:-1])
        waits = await stack.enter_async_context(peer(port))
        sending = asyncio.create_task(waits.send(whole))
        small = await stack.enter_async_context(peer(port))
        await small.send(question())
        assert (await small.answer())[0] == 200
        assert len(picker.requests) == 1, "the third large body waits for its turn"

        await holders[0].send(whole[-1:])
        for each in (holders[0], waits):
            assert (await each.answer())[0] == 200
        await sending
        await holders[1].send(whole[-1:])
        assert (await holders[1].answer())[0] == 200
        assert [len(request.body) for request in picker.requests] == [2, size, size, size]


async def test_a_large_body_that_stops_in_its_middle_leaves_its_turn_to_the_next() -> None:
    picker = FakePicker()
    whole = question("/v1/completions", bytes(32 * LARGE_MESSAGE_BYTES))
    async with transport(picker, Limits(request_seconds=0.5)) as port, AsyncExitStack() as stack:
        for _ in range(LARGE_STREAMS):
            stuck = await stack.enter_async_context(peer(port))
            await stuck.send(whole[:-1])
        waits = await stack.enter_async_context(peer(port))
        await waits.send(whole)
        async with asyncio.timeout(20):
            assert (await waits.answer())[0] == 200
