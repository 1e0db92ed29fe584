"""The HTTP shell: headers, early headers, errors, disconnects, adapters, sleep, faults."""

import asyncio
import json

from tests.integration.model_sim.server_calls import CHAT, events, metric, wait_until


async def test_an_answer_says_who_served_it(serve):
    async with (
        serve() as server,
        server.http.post(f"{server.url}/v1/chat/completions", json=CHAT, headers={"x-request-id": "my-id"}) as response,
    ):
        body = await response.json()

    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["x-inference-pod"] == "pod-a"
    assert response.headers["x-inference-namespace"] == "default"
    assert response.headers["x-request-id"] == "my-id"
    assert body["id"] == "chatcmpl-my-id"
    assert body["usage"]["prompt_tokens_details"] is None


async def test_one_request_id_sent_twice_at_a_time_is_two_requests(serve):
    async with serve("--profile", "demo") as server:

        async def ask() -> int:
            headers = {"x-request-id": "same"}
            async with server.http.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers) as response:
                return int((await response.json())["usage"]["completion_tokens"])

        assert await asyncio.gather(*(ask() for _ in range(5))) == [8] * 5


async def test_stream_headers_come_before_the_first_token(serve):
    async with serve("--profile", "demo", "--max-num-seqs", "1") as server:
        long = server.http.post(
            f"{server.url}/v1/chat/completions", json={**CHAT, "max_tokens": 5000, "ignore_eos": True}
        )
        first = asyncio.ensure_future(long)
        await wait_until(lambda: server.simulator.driver.in_flight == 1)
        response = await server.http.post(f"{server.url}/v1/chat/completions", json={**CHAT, "stream": True})

        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert server.simulator.driver.engines[0].snapshot().waiting == 1

        response.close()
        first.cancel()
        await wait_until(server.is_empty)


async def test_a_client_that_leaves_frees_its_slot_and_counts_as_abort(serve):
    async with serve("--profile", "demo") as server:
        body = {**CHAT, "max_tokens": 5000, "ignore_eos": True}
        streamed = await server.http.post(f"{server.url}/v1/chat/completions", json={**body, "stream": True})
        await streamed.content.readline()
        waiting = asyncio.ensure_future(server.http.post(f"{server.url}/v1/chat/completions", json=body))
        await wait_until(lambda: server.simulator.driver.in_flight == 2)
        streamed.close()
        waiting.cancel()
        await wait_until(server.is_empty)

        assert await metric(server, 'vllm:request_success_total{engine="0",finished_reason="abort"') == 2


async def test_usage_in_streams_only_when_asked_or_forced(serve):
    async with serve() as server, serve("--enable-force-include-usage") as forced:
        stream = {**CHAT, "stream": True}
        async with server.http.post(f"{server.url}/v1/chat/completions", json=stream) as response:
            plain = await events(response)
        options = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
        async with server.http.post(f"{server.url}/v1/chat/completions", json={**stream, **options}) as response:
            requested = await events(response)
        async with forced.http.post(f"{forced.url}/v1/chat/completions", json=stream) as response:
            always = await events(response)

    assert all("usage" not in event for event in plain)
    assert [event["usage"]["completion_tokens"] for event in requested][-2:] == [8, 8]
    assert always[-1]["usage"]["completion_tokens"] == 8


async def test_switches_and_numbers_may_be_text_as_in_vllm(serve):
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": "4", "ignore_eos": "yes", "seed": 7.0}
    async with serve() as server:
        whole = await server.chat(**body, stream="false", temperature="0.5")
        async with server.http.post(f"{server.url}/v1/chat/completions", json={**body, "stream": "true"}) as response:
            text = await response.text()
            kind = response.headers["Content-Type"]

    assert whole["usage"]["completion_tokens"] == 4
    assert kind.startswith("text/event-stream")
    assert text.endswith("data: [DONE]\n\n")


async def test_frames_are_as_vllms(serve):
    async with serve("--mode", "echo") as server:
        body = {"messages": [{"role": "user", "content": "你好 мир"}], "stream": True}
        async with server.http.post(f"{server.url}/v1/chat/completions", json=body) as response:
            raw = await response.text()
            frames = await events(response)

    assert raw.endswith("data: [DONE]\n\n")
    assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames) == "你好 мир"
    assert frames[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(frame["object"] == "chat.completion.chunk" for frame in frames)


async def test_a_http_1_0_client_gets_its_stream_unframed(serve):
    async with serve() as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({**CHAT, "stream": True}).encode()
        lines = ("POST /v1/chat/completions HTTP/1.0", "Content-Type: application/json", f"Content-Length: {len(body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.read()
        writer.close()

    assert answer.partition(b"\r\n\r\n")[2].startswith(b"data: {")
    assert answer.endswith(b"data: [DONE]\n\n")


async def test_models_have_the_shape_of_vllms(serve):
    async with serve("--served-model-name", "one", "two", "--lora-modules", "sql=/adapters/sql") as server:
        async with server.http.get(f"{server.url}/v1/models") as response:
            data = (await response.json())["data"]
        answer = await server.chat(model="sql")

    assert [(card["id"], card["root"], card["parent"]) for card in data] == [
        ("one", "sim-model", None),
        ("two", "sim-model", None),
        ("sql", "/adapters/sql", "one"),
    ]
    assert data[0]["permission"][0]["object"] == "model_permission"
    assert data[0]["owned_by"] == "vllm"
    assert answer["model"] == "sql"


async def test_adapters_come_and_go_at_run_time(serve):
    async with serve("--enable-lora") as server:

        async def post(path: str, **body: str) -> tuple[int, str]:
            async with server.http.post(f"{server.url}/v1/{path}", json=body) as response:
                return response.status, await response.text()

        assert (await post("load_lora_adapter", lora_name="x"))[0] == 400
        loaded = await post("load_lora_adapter", lora_name="x", lora_path="/x")
        again = await post("load_lora_adapter", lora_name="x", lora_path="/x")
        answer = await server.chat(model="x")
        removed = await post("unload_lora_adapter", lora_name="x")
        unknown = await post("unload_lora_adapter", lora_name="x")

    assert loaded == (200, "Success: LoRA adapter 'x' added successfully.")
    assert again[0] == 400
    assert json.loads(again[1])["error"]["type"] == "InvalidUserInput"
    assert answer["model"] == "x"
    assert removed == (200, "Success: LoRA adapter 'x' removed successfully.")
    assert unknown[0] == 404


async def test_unloading_waits_for_running_requests_and_refuses_new_ones(serve):
    async with serve("--profile", "demo", "--lora-modules", "x=/x") as server:
        running = asyncio.ensure_future(server.chat(model="x", max_tokens=40, ignore_eos=True))
        await wait_until(lambda: server.simulator.driver.in_flight == 1)
        unloading = asyncio.ensure_future(
            server.http.post(f"{server.url}/v1/unload_lora_adapter", json={"lora_name": "x"})
        )
        await wait_until(lambda: not server.simulator.models.adapters)
        async with server.http.post(f"{server.url}/v1/chat/completions", json={**CHAT, "model": "x"}) as refused:
            assert refused.status == 404
        assert not unloading.done()
        await running
        async with await unloading as response:
            assert response.status == 200
        assert server.simulator.driver.engines[0].adapters.on_gpu == ()


async def test_sleeping_holds_requests_until_wake_up(serve):
    async with serve() as server:
        async with server.http.post(f"{server.url}/sleep?level=1") as response:
            assert response.status == 200
        waiting = asyncio.ensure_future(server.chat())
        await wait_until(lambda: server.simulator.driver.in_flight == 1)
        async with server.http.get(f"{server.url}/is_sleeping") as response:
            assert await response.json() == {"is_sleeping": True}
        assert (
            await metric(server, 'vllm:engine_sleep_state{engine="0",model_name="sim-model",sleep_state="awake"}') == 0
        )
        async with server.http.post(f"{server.url}/wake_up") as response:
            assert response.status == 200
        async with asyncio.timeout(10):
            await waiting


async def test_text_survives_tokenize_and_detokenize(serve):
    text = "Hello wörld, 你好 🙂"
    async with serve() as server:
        async with server.http.post(f"{server.url}/tokenize", json={"prompt": text, "return_token_strs": True}) as r:
            tokens = await r.json()
        async with server.http.post(f"{server.url}/detokenize", json={"tokens": tokens["tokens"]}) as r:
            assert await r.json() == {"prompt": text}
        async with server.http.post(f"{server.url}/tokenize", json=CHAT) as r:
            conversation = await r.json()
        answer = await server.chat()

    assert tokens["count"] == len(tokens["tokens"]) == len(tokens["token_strs"])
    assert answer["usage"]["prompt_tokens"] == conversation["count"]


async def test_a_follow_up_finds_the_conversation_in_the_cache(serve):
    async with serve("--enable-prompt-tokens-details", "--block-size", "4") as server:
        question = {"role": "user", "content": "Tell me about queues and what they are for."}
        first = await server.chat(messages=[question], max_tokens=60)
        answer = first["choices"][0]["message"]
        follow_up = [
            question,
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": "More."},
        ]
        second = await server.chat(messages=follow_up)

        cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
        spoken = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]
        assert spoken - 8 <= cached <= spoken
        async with server.http.post(f"{server.url}/reset_prefix_cache") as response:
            assert response.status == 200
        third = await server.chat(messages=follow_up)
        assert third["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


async def test_a_cache_salt_keeps_conversations_apart(serve):
    async with serve("--enable-prompt-tokens-details") as server:
        long = [{"role": "user", "content": "word " * 100}]
        cached = []
        for salt in ("a", "a", "b"):
            answer = await server.chat(messages=long, cache_salt=salt)
            cached.append(answer["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert cached[0] == cached[2] == 0
    assert cached[1] > 80


async def test_both_legs_of_disaggregated_serving_are_understood(serve):
    async with serve() as server:
        prefill = await server.chat(max_tokens=1, kv_transfer_params={"do_remote_decode": True})
        params = prefill["kv_transfer_params"]
        decode = await server.chat(kv_transfer_params=params)

        assert params["do_remote_prefill"] is True
        assert decode["usage"]["completion_tokens"] == 8
        assert (
            await metric(server, 'vllm:prompt_tokens_by_source_total{engine="0",model_name="sim-model",source="ext') > 0
        )


async def test_data_parallel_ranks_share_one_port(serve):
    async with serve("--data-parallel-size", "2", "--profile", "demo") as server:
        await asyncio.gather(*(server.chat() for _ in range(4)))

        for rank in (0, 1):
            assert await metric(server, f'vllm:generation_tokens_total{{engine="{rank}"') == 16


async def test_health_version_load_and_ping(serve):
    async with serve() as server:
        statuses = {}
        for path in ("health", "healthz", "readyz", "ping", "version", "load"):
            async with server.http.get(f"{server.url}/{path}") as response:
                statuses[path] = response.status
                body = await response.text()
        assert set(statuses.values()) == {200}
        assert json.loads(body) == {"server_load": 0}


async def test_a_slow_reader_does_not_grow_memory_and_loses_nothing(serve):
    async with serve() as server:
        body = {**CHAT, "max_tokens": 60_000, "ignore_eos": True, "stream": True}
        async with server.http.post(f"{server.url}/v1/chat/completions", json=body) as response:
            await asyncio.sleep(0.5)
            frames = await events(response)

    assert sum(1 for frame in frames if frame["choices"][0]["delta"].get("content")) == 60_000
