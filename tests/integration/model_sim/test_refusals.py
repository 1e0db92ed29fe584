"""Requests that vLLM refuses are refused in its shape and words, and leave nothing."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO

import pytest

from model_sim.server.replies import MAX_BODY_BYTES
from tests.integration.model_sim.server_calls import CHAT, JSON, wait_until


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/chat/completions", b"{", 400, "body.1"),
        ("/v1/chat/completions", b"[]", 400, "body"),
        ("/v1/chat/completions", b'{"messages": []}', 400, "body.messages"),
        ("/v1/chat/completions", b'{"messages": [{"role": "x", "content": ""}]}', 400, "body.messages.0.role"),
        ("/v1/chat/completions", b'{"messages": "hi"}', 400, "body.messages"),
        ("/v1/chat/completions", b'{"model": "absent", "messages": []}', 404, "model"),
        ("/v1/chat/completions", b'{"model": "absent"}', 400, "body.messages"),
        ("/v1/chat/completions", b'{"messages": ' + b"[" * 1000 + b"]" * 1000 + b"}", 400, "body.messages.0"),
        ("/v1/chat/completions", b"[" * 1000 + b"]" * 1000, 400, "body"),
        ("/v1/chat/completions", b'{"model": 5, "messages": []}', 400, "body.model"),
        ("/v1/completions", b'{"prompt": ""}', 400, "prompt"),
        ("/v1/completions", b'{"prompt": [1, -2]}', 400, "body.prompt.1"),
        ("/v1/completions", b'{"prompt": "x", "max_tokens": 0}', 400, "max_tokens"),
        ("/v1/completions", b'{"prompt": "x", "max_tokens": 1e300}', 400, "body.max_tokens"),
        ("/v1/completions", b'{"prompt": "x", "temperature": -1}', 400, "temperature"),
        ("/v1/completions", b'{"prompt": "x", "stream_options": {}}', 400, "stream_options"),
        ("/v1/completions", b'{"prompt": "\xff"}', 400, "body.0"),
        ("/v1/completions", b'{"prompt": "x", "max_tokens": 999999}', 400, "max_tokens"),
        ("/v1/completions", b'{"prompt": "x", "max_tokens": 131072}', 400, "input_tokens"),
        ("/v1/embeddings", b"{}", 400, "body.input"),
        ("/v1/embeddings", b'{"input": "x", "dimensions": 0}', 400, "dimensions"),
        ("/tokenize", b"{}", 400, "body.prompt"),
        ("/detokenize", b'{"tokens": ["x"]}', 400, "body.tokens.0"),
        ("/v1/responses", b'{"input": []}', 400, "body.input"),
        ("/nowhere", b"{}", 404, None),
    ],
)
async def test_a_bad_request_is_refused_in_shape_and_leaves_nothing(serve, path, body, status, param):
    async with serve() as server, server.http.post(f"{server.url}{path}", data=body, headers=JSON) as response:
        error = (await response.json())["error"]

        assert (response.status, error["code"], error["param"]) == (status, status, param)
        assert error["message"]
        assert server.is_empty()


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        (
            {"model": "absent", "prompt": "x"},
            404,
            "NotFoundError",
            "The model `absent` does not exist.",
        ),
        (
            {"max_tokens": 5},
            400,
            "Bad Request",
            (
                "1 validation error:\n  {'type': 'missing', 'loc': ('body', 'prompt'), 'msg': 'Field required', "
                "'input': '<dict of 1 items>'}"
            ),
        ),
        (
            {"prompt": "x", "max_tokens": 0},
            400,
            "BadRequestError",
            "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
        ),
        (
            {"prompt": "x", "temperature": -1},
            400,
            "BadRequestError",
            "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)",
        ),
        (
            {"prompt": "x", "logprobs": 21},
            400,
            "BadRequestError",
            "Requested sample logprobs of 21, which is greater than max allowed: 20 (parameter=logprobs, value=21)",
        ),
        (
            {"prompt": "x", "stop": ["a", ""]},
            400,
            "BadRequestError",
            "stop cannot contain an empty string.",
        ),
        (
            {"prompt": "x", "top_k": -2},
            400,
            "BadRequestError",
            "top_k must be 0 (disable), or at least 1, got -2.",
        ),
        (
            {"prompt": list(range(45)), "max_tokens": 6},
            400,
            "BadRequestError",
            (
                "This model's maximum context length is 50 tokens. However, you requested 6 output tokens and your "
                "prompt contains 45 input tokens, for a total of 51 tokens. Please reduce the length of the input "
                "prompt or the number of requested output tokens. (parameter=input_tokens, value=45)"
            ),
        ),
    ],
)
async def test_the_most_common_errors_have_vllms_words(serve, body, status, kind, message):
    async with (
        serve("--max-model-len", "50") as server,
        server.http.post(f"{server.url}/v1/completions", json=body) as response,
    ):
        error = (await response.json())["error"]

    assert (response.status, error["type"], error["message"]) == (status, kind, message)


async def test_nesting_and_size_have_limits(serve):
    async with serve() as server:
        deep = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        async with server.http.post(f"{server.url}/v1/chat/completions", data=deep, headers=JSON) as response:
            assert response.status == 400
        huge = {**JSON, "Content-Length": str(100 * 1024 * 1024), "Expect": "100-continue"}
        async with server.http.post(f"{server.url}/v1/completions", data=BytesIO(b"{}"), headers=huge) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == 413
        assert server.is_empty()


async def test_a_body_of_unannounced_length_has_the_same_limit(serve):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 2**20 + 1):
            yield b"x" * 2**20

    async with serve() as server:
        async with server.http.post(f"{server.url}/v1/completions", data=endless(), headers=JSON) as response:
            assert response.status == 413
        assert server.is_empty()


async def test_other_media_types_and_methods_are_refused(serve):
    async with serve() as server:
        async with server.http.post(f"{server.url}/v1/completions", data=b'{"prompt": "x"}') as response:
            assert response.status == 400
        async with server.http.get(f"{server.url}/v1/completions") as response:
            assert response.status == 405
            assert (await response.json())["error"]["type"] == "Method Not Allowed"
            assert response.headers["Allow"] == "POST"


async def test_a_context_that_is_too_long_is_refused_before_queueing(serve):
    async with serve("--max-model-len", "50") as server:
        long = {"prompt": list(range(50)), "max_tokens": 1}
        async with server.http.post(f"{server.url}/v1/completions", json=long) as response:
            error = (await response.json())["error"]

        assert response.status == 400
        assert "maximum context length is 50 tokens" in error["message"]


async def test_a_prompt_that_no_cache_could_hold_is_refused(serve):
    async with serve("--num-gpu-blocks", "2", "--block-size", "16") as server:
        body = {"prompt": list(range(40)), "max_tokens": 1}
        async with server.http.post(f"{server.url}/v1/completions", json=body) as response:
            assert response.status == 400
            assert "KV cache blocks" in (await response.json())["error"]["message"]
        assert server.is_empty()


async def test_an_api_key_guards_the_api_but_not_health(serve):
    async with serve("--api-key", "secret") as server:
        url = f"{server.url}/v1/models"
        async with server.http.get(url) as refused, server.http.get(f"{server.url}/health") as healthy:
            assert (refused.status, healthy.status) == (401, 200)
            assert await refused.json() == {"error": "Unauthorized"}
        async with server.http.get(url, headers={"Authorization": "secret"}) as no_scheme:
            assert no_scheme.status == 401
        async with server.http.get(url, headers={"Authorization": "Bearer secret"}) as allowed:
            assert allowed.status == 200


async def test_beyond_the_limit_of_running_and_waiting_requests_more_are_refused(serve):
    async with serve("--profile", "demo", "--max-num-seqs", "1", "--max-num-queued-reqs", "3") as server:
        body = {**CHAT, "max_tokens": 500, "ignore_eos": True}
        engine = server.simulator.driver.engines[0]
        held = []
        for reached in (lambda: engine.snapshot().running == 1, lambda: engine.snapshot().waiting == 1):
            held.append(asyncio.ensure_future(server.http.post(f"{server.url}/v1/chat/completions", json=body)))
            await wait_until(reached)
        async with server.http.post(f"{server.url}/v1/chat/completions", json={**body, "n": 2}) as response:
            assert response.status == 503
        held.append(asyncio.ensure_future(server.http.post(f"{server.url}/v1/chat/completions", json=body)))
        await wait_until(lambda: engine.snapshot().waiting == 2)
        async with server.http.post(f"{server.url}/v1/chat/completions", json=body) as response:
            assert response.status == 503
        for each in held:
            each.cancel()
        await wait_until(server.is_empty)
