"""Faults by admin call, by flag and by header."""

import asyncio
import json

import aiohttp
import pytest

CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20, "ignore_eos": True}
ADMIN = ("--enable-admin", "--lora-modules", "tuned=/t")


async def order(server, **faults: object) -> None:
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
        await order(server, error={"status": 429, "retry_after": 2})
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
        await order(server, error={"status": 503, "rate": 0.5}, adapters=["tuned"])
        plain = [(await ask(server)).status for _ in range(20)]
        tuned = [(await ask(server, model="tuned")).status for _ in range(40)]

    assert set(plain) == {200}
    assert set(tuned) == {200, 503}


async def test_a_stream_is_cut_after_some_tokens(serve):
    async with serve(*ADMIN, "--profile", "demo") as server:
        await order(server, cut={"after_tokens": 5})
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
        await order(server, reset={})
        with pytest.raises(aiohttp.ClientError):
            await ask(server)


async def test_a_hanging_server_answers_nothing_and_lets_go_of_a_client_that_leaves(serve):
    async with serve(*ADMIN) as server:
        await order(server, hang={})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask(server)
        assert server.is_empty()


async def test_first_byte_and_spike_delay_an_answer(serve):
    async with serve(*ADMIN) as server:
        loop = asyncio.get_running_loop()
        await order(server, first_byte={"seconds": 0.2}, spike={"seconds": 0.2})
        started = loop.time()
        await ask(server)

        assert loop.time() - started >= 0.39


async def test_a_spike_holds_back_a_streams_tokens_but_not_its_headers(serve):
    body = {"prompt": "Say something.", "max_tokens": 5, "stream": True}
    async with serve(*ADMIN) as server:
        await order(server, spike={"seconds": 3600})
        async with server.http.post(f"{server.url}/v1/completions", json=body) as response:
            assert response.status == 200
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await response.content.readany()
        await order(server, spike={"seconds": 0.1})
        async with server.http.post(f"{server.url}/v1/completions", json=body) as response:
            events = await response.read()

        assert b'"text"' in events
        assert events.endswith(b"data: [DONE]\n\n")
        assert server.is_empty()


async def test_health_and_metrics_misbehave_on_order(serve):
    async with serve(*ADMIN) as server:

        async def get(path: str) -> tuple[int, str]:
            async with server.http.get(f"{server.url}{path}") as response:
                return response.status, await response.text()

        await order(server, health=503, metrics={"num_requests_waiting": 50, "kv_cache_usage_perc": 0.7})
        assert (await get("/health"))[0] == 503
        assert 'vllm:num_requests_waiting{engine="0",model_name="sim-model"} 50.0' in (await get("/metrics"))[1]
        await order(server, health=None, metrics={"num_requests_waiting": None}, metrics_mode="stale")
        before = await get("/metrics")
        assert 'vllm:kv_cache_usage_perc{engine="0",model_name="sim-model"} 0.7' in before[1]
        await ask(server)
        assert await get("/metrics") == before
        await order(server, metrics_mode="malformed")
        assert "broken" in (await get("/metrics"))[1]
        await order(server, metrics_mode="error")
        assert (await get("/metrics"))[0] == 500
        await order(server, metrics_mode="slow", metrics_delay=0.2)
        started = asyncio.get_running_loop().time()
        await get("/metrics")
        assert asyncio.get_running_loop().time() - started >= 0.19
        await order(server, metrics_mode=None, metrics=None)
        assert 'vllm:kv_cache_usage_perc{engine="0",model_name="sim-model"} 0.0' in (await get("/metrics"))[1]
        assert (await get("/health"))[0] == 200


async def test_a_header_orders_a_fault_only_where_that_is_allowed(serve):
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
