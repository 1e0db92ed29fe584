"""Faults by admin call, by flag and by header."""

import asyncio
import json
from itertools import pairwise

import aiohttp
import pytest

CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20, "ignore_eos": True}
ADMIN = ("--enable-admin", "--lora-modules", "tuned=/t")


async def put(server, **faults: object) -> None:
    async with server.http.post(f"{server.url}/admin/faults", json=faults) as response:
        assert response.status == 200, await response.text()


async def ask(server, **more: object) -> aiohttp.ClientResponse:
    """One chat completion, read to its end."""
    async with server.http.post(f"{server.url}/v1/chat/completions", json={**CHAT, **more}) as response:
        await response.read()
        answered: aiohttp.ClientResponse = response
        return answered


async def test_an_error_has_its_status_and_retry_after_until_it_is_cleared(serve):
    async with serve(*ADMIN) as server:
        await put(server, error={"status": 429, "retry_after": 2})
        refused = await ask(server)
        async with server.http.get(f"{server.url}/admin/faults") as response:
            shown = await response.json()
        async with server.http.delete(f"{server.url}/admin/faults") as response:
            assert response.status == 200
        answered = await ask(server)

        assert (refused.status, refused.headers["Retry-After"]) == (429, "2")
        assert (await refused.json())["error"]["type"] == "RateLimitError"
        assert shown["error"]["status"] == 429
        assert answered.status == 200


async def test_faults_can_be_limited_to_an_adapter_and_a_rate(serve):
    async with serve(*ADMIN) as server:
        await put(server, error={"status": 503, "rate": 0.5}, adapters=["tuned"])
        plain = [(await ask(server)).status for _ in range(20)]
        tuned = [(await ask(server, model="tuned")).status for _ in range(40)]

    assert set(plain) == {200}
    assert set(tuned) == {200, 503}


async def test_a_stream_is_cut_after_some_tokens(serve):
    async with serve(*ADMIN, "--profile", "demo") as server:
        await put(server, cut={"after_tokens": 5})
        received = b""
        async with server.http.post(f"{server.url}/v1/chat/completions", json={**CHAT, "stream": True}) as response:
            with pytest.raises(aiohttp.ClientError):  # noqa: PT012 - the error may come after any chunk
                async for chunk in response.content.iter_any():
                    received += chunk
        with pytest.raises(aiohttp.ClientError):
            await ask(server)

        assert received.count(b'"content"') in range(1, 7)
        assert b"[DONE]" not in received
        assert server.is_empty() or server.simulator.driver.in_flight == 0


async def test_a_connection_is_reset(serve):
    async with serve(*ADMIN) as server:
        await put(server, reset={})
        with pytest.raises(aiohttp.ClientError):
            await ask(server)


async def test_a_hanging_server_answers_nothing_and_lets_go_of_a_client_that_leaves(serve):
    async with serve(*ADMIN) as server:
        await put(server, hang={})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask(server)
        assert server.is_empty()


async def test_first_byte_and_spike_delay_an_answer(serve):
    async with serve(*ADMIN) as server:
        loop = asyncio.get_running_loop()
        await put(server, first_byte={"seconds": 0.2}, spike={"seconds": 0.2})
        started = loop.time()
        await ask(server)

        assert loop.time() - started >= 0.39


async def test_a_spike_holds_back_a_streams_tokens_but_not_its_headers(serve):
    body = {"prompt": "Say something.", "max_tokens": 5, "stream": True}
    async with serve(*ADMIN) as server:
        await put(server, spike={"seconds": 3600})
        async with server.http.post(f"{server.url}/v1/completions", json=body) as response:
            assert response.status == 200
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await response.content.readany()
        await put(server, spike={"seconds": 0.1})
        async with server.http.post(f"{server.url}/v1/completions", json=body) as response:
            events = await response.read()

        assert b'"text"' in events
        assert events.endswith(b"data: [DONE]\n\n")
        assert server.is_empty()


async def test_health_and_metrics_misbehave_on_request(serve):
    async with serve(*ADMIN) as server:

        async def get(path: str) -> tuple[int, str]:
            async with server.http.get(f"{server.url}{path}") as response:
                return response.status, await response.text()

        await put(server, health=503, metrics={"num_requests_waiting": 50, "kv_cache_usage_perc": 0.7})
        assert (await get("/health"))[0] == 503
        assert 'vllm:num_requests_waiting{engine="0",model_name="sim-model"} 50.0' in (await get("/metrics"))[1]
        await put(server, health=None, metrics={"num_requests_waiting": None}, metrics_mode="stale")
        before = await get("/metrics")
        assert 'vllm:kv_cache_usage_perc{engine="0",model_name="sim-model"} 0.7' in before[1]
        await ask(server)
        assert await get("/metrics") == before
        await put(server, metrics_mode="malformed")
        assert "broken" in (await get("/metrics"))[1]
        await put(server, metrics_mode="error")
        assert (await get("/metrics"))[0] == 500
        await put(server, metrics_mode="slow", metrics_delay=0.2)
        started = asyncio.get_running_loop().time()
        await get("/metrics")
        assert asyncio.get_running_loop().time() - started >= 0.19
        await put(server, metrics_mode=None, metrics=None)
        assert 'vllm:kv_cache_usage_perc{engine="0",model_name="sim-model"} 0.0' in (await get("/metrics"))[1]
        assert (await get("/health"))[0] == 200


STREAM = {"prompt": "Say something.", "max_tokens": 6, "ignore_eos": True, "stream": True}


def tokens_in(text: bytes) -> int:
    return text.count(b'"text"')


async def read_within(response: aiohttp.ClientResponse, seconds: float) -> bytes:
    """Everything that arrives in so many seconds."""
    received = b""
    try:
        async with asyncio.timeout(seconds):
            async for chunk in response.content.iter_any():
                received += chunk
    except TimeoutError:
        pass
    return received


async def test_a_held_stream_goes_on_when_the_test_lets_it(serve):
    async with serve(*ADMIN) as server:
        await put(server, hold={"after_tokens": 2})
        async with server.http.post(f"{server.url}/v1/completions", json=STREAM) as response:
            held = await read_within(response, 0.3)
            await put(server, hold=None)
            rest = await response.read()

        assert tokens_in(held) == 2
        assert tokens_in(rest) == 4
        assert rest.endswith(b"data: [DONE]\n\n")
        assert server.is_empty()
        assert server.simulator.open_exchanges == 0


async def test_a_held_answer_that_is_not_streamed_comes_when_the_test_lets_it(serve):
    async with serve(*ADMIN) as server:
        await put(server, hold={})
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(ask(server))
            await asyncio.sleep(0.2)
            assert not answering.done()
            async with server.http.delete(f"{server.url}/admin/faults"):
                pass

        assert answering.result().status == 200


async def test_an_answer_that_is_no_longer_than_the_hold_passes(serve):
    async with serve(*ADMIN) as server:
        await put(server, hold={"after_tokens": 6})
        async with server.http.post(f"{server.url}/v1/completions", json=STREAM) as response:
            streamed = await response.read()
        answered = await ask(server, max_tokens=6)

    assert streamed.endswith(b"data: [DONE]\n\n")
    assert answered.status == 200


async def test_a_client_that_leaves_a_held_stream_leaves_nothing_behind(serve):
    async with serve(*ADMIN) as server:
        await put(server, hold={})
        async with server.http.post(f"{server.url}/v1/completions", json=STREAM) as response:
            await response.content.readany()
            response.close()
        async with asyncio.timeout(5):
            while server.simulator.open_exchanges or not server.is_empty():
                await asyncio.sleep(0.01)


async def test_a_dripping_stream_sends_a_token_at_each_interval_and_all_in_the_end(serve):
    loop = asyncio.get_running_loop()
    async with serve(*ADMIN) as server:
        await put(server, drip={"seconds": 0.05})
        started = loop.time()
        async with server.http.post(f"{server.url}/v1/completions", json=STREAM) as response:
            early = await read_within(response, 0.12)
            rest = await response.read()

        assert tokens_in(early) <= 2
        assert tokens_in(early + rest) == 6
        assert rest.endswith(b"data: [DONE]\n\n")
        assert loop.time() - started >= 0.29
        started = loop.time()
        await ask(server)
        assert loop.time() - started >= 20 * 0.05 - 0.01


@pytest.mark.parametrize(("fault", "tokens"), [({}, 6), ({"after_tokens": 2}, 2), ({"after_tokens": 99}, 6)])
async def test_a_truncated_stream_ends_cleanly_without_its_last_events(serve, fault, tokens):
    async with serve(*ADMIN, "--profile", "demo") as server:
        await put(server, truncate=fault)
        async with server.http.post(f"{server.url}/v1/completions", json=STREAM) as response:
            received = await response.read()

        assert tokens_in(received) == tokens
        assert b"[DONE]" not in received


async def test_an_answer_that_is_not_http_ends_the_connection(serve):
    async with serve(*ADMIN) as server:
        await put(server, not_http={})
        with pytest.raises(aiohttp.ClientError):
            await ask(server)


async def test_a_frozen_engine_answers_health_and_metrics_and_counts_no_step(serve):
    async with serve(*ADMIN, "--profile", "demo") as server:

        async def get(path: str) -> str:
            async with server.http.get(f"{server.url}{path}") as response:
                assert response.status == 200
                return str(await response.text())

        def engines(text: str) -> list[str]:
            return [line for line in text.splitlines() if line.startswith("vllm:")]

        await ask(server)
        await put(server, frozen=True)
        before = await get("/metrics")
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(ask(server))
            await asyncio.sleep(0.3)
            await get("/health")
            after = await get("/metrics")
            assert not answering.done()
            await put(server, frozen=None)

        assert engines(before) == engines(after)
        assert "vllm:iteration_tokens_total_count" in before
        assert answering.result().status == 200
        assert server.is_empty()


async def test_a_slow_engine_takes_longer_until_its_speed_is_restored(serve):
    async def seconds(server) -> float:
        started = asyncio.get_running_loop().time()
        await ask(server)
        return asyncio.get_running_loop().time() - started

    async with serve(*ADMIN, "--profile", "demo") as server:
        full = await seconds(server)
        await put(server, speed=0.25)
        slow = await seconds(server)
        await put(server, speed=None)
        again = await seconds(server)

    assert slow > 2 * full
    assert slow > 2 * again


async def test_a_cycle_of_errors_comes_and_goes(serve):
    async with serve(*ADMIN) as server:
        await put(server, error={"status": 503, "retry_after": 1}, cycle={"seconds": 0.4, "active": 0.2})
        statuses: list[int] = []
        async with asyncio.timeout(5):
            while len(changes := [a for a, b in pairwise(statuses) if a != b]) < 3:
                statuses.append((await ask(server)).status)
                await asyncio.sleep(0.02)

    assert changes == [503, 200, 503]


async def test_a_header_sets_a_fault_only_where_that_is_allowed(serve):
    header = {"x-model-sim-fault": json.dumps({"error": {"status": 418}})}
    async with serve("--enable-fault-headers") as allowed, serve() as closed:
        for server, status in ((allowed, 418), (closed, 200)):
            async with server.http.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=header) as response:
                assert response.status == status


async def test_faults_may_be_given_on_the_command_line(serve):
    async with serve("--faults", '{"error": {"status": 500}}') as server:
        assert (await ask(server)).status == 500


async def test_the_admin_endpoint_is_absent_unless_enabled(serve):
    async with (
        serve() as server,
        server.http.post(f"{server.url}/admin/faults", json={}) as response,
    ):
        assert response.status == 404


@pytest.mark.parametrize(
    "body",
    [
        {"eror": {}},
        {"error": {"rate": 2}},
        {"error": {"status": 200}},
        {"error": {"sttus": 500}},
        {"metrics": {"unknown": 1}},
        {"metrics_mode": "loud"},
        {"health": "no"},
        {"crash_after": 0},
    ],
)
async def test_a_fault_that_is_not_understood_is_refused_and_changes_nothing(serve, body):
    async with serve(*ADMIN) as server:
        async with server.http.post(f"{server.url}/admin/faults", json=body) as response:
            assert response.status == 400
        assert server.simulator.faults.document() == {}
