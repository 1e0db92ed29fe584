"""Fuzz: whatever is sent, the server answers in shape, and the engine is empty afterwards."""

import asyncio
from typing import Any

import aiohttp
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.model_sim.conftest import running

PATHS = st.sampled_from(
    (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/embeddings",
        "/tokenize",
        "/detokenize",
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/v1/messages/count_tokens",
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70).filter(lambda value: -(2**63) <= value < 2**64)
    | st.integers(-2, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool"]) | VALUES,
        "content": st.text(max_size=50)
        | st.lists(st.fixed_dictionaries({"type": st.just("text")}, optional={"text": VALUES}))
        | VALUES,
        "tool_calls": VALUES,
    },
)
TOOL = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": st.just("f")}, optional={"parameters": VALUES})}
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["sim-model", "other"]) | VALUES,
        "messages": st.lists(MESSAGE, max_size=3) | VALUES,
        "prompt": st.text(max_size=30) | st.lists(st.integers(-1, 2**33), max_size=4) | VALUES,
        "input": st.text(max_size=30) | st.lists(MESSAGE, max_size=2) | VALUES,
        "max_tokens": st.integers(-1, 40) | VALUES,
        "max_output_tokens": st.integers(-1, 40) | VALUES,
        "n": st.integers(0, 3) | VALUES,
        "stream": st.booleans() | VALUES,
        "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}) | VALUES,
        "stop": st.text(max_size=2) | st.lists(st.text(max_size=2), max_size=3) | VALUES,
        "stop_token_ids": st.lists(st.integers(0, 200), max_size=3) | VALUES,
        "min_tokens": st.integers(0, 20) | VALUES,
        "logprobs": st.booleans() | st.integers(0, 5) | VALUES,
        "top_logprobs": st.integers(0, 5) | VALUES,
        "echo": st.booleans() | VALUES,
        "seed": VALUES,
        "tools": st.lists(TOOL, max_size=2) | VALUES,
        "tool_choice": st.sampled_from(["auto", "required", "none"]) | VALUES,
        "response_format": st.fixed_dictionaries({"type": st.sampled_from(["json_object", "text"])}) | VALUES,
        "kv_transfer_params": VALUES,
        "cache_salt": VALUES,
        "system": VALUES,
        "tokens": st.lists(st.integers(0, 2**32 - 1), max_size=5) | VALUES,
        "dimensions": VALUES,
        "encoding_format": VALUES,
        "lora_name": VALUES,
        "lora_path": VALUES,
    },
)
RAW = st.binary(max_size=60) | BODIES.map(lambda body: orjson.dumps(body)[:-1]) | BODIES.map(orjson.dumps)
LIMITS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def in_shape(path: str, status: int, body: dict[str, Any]) -> bool:
    """Whether a refusal looks like one of vLLM's."""
    if path.startswith("/v1/messages"):
        return body["type"] == "error" and isinstance(body["error"]["message"], str)
    error = body["error"]
    return error["code"] == status and set(error) == {"message", "type", "param", "code"}


async def fire(requests: list[tuple[str, bytes]]) -> None:
    """Send everything at once to one server and look at what it leaves."""
    async with running("--enable-lora") as server:

        async def one(path: str, body: bytes) -> None:
            headers = {"Content-Type": "application/json"}
            async with server.http.post(f"{server.url}{path}", data=body, headers=headers) as response:
                answer = await response.read()
            assert response.status in (200, 400, 404), (path, body, answer)
            if response.status != 200:
                assert in_shape(path, response.status, orjson.loads(answer)), (path, body, answer)
            elif response.content_type == "application/json":
                orjson.loads(answer)

        await asyncio.gather(*(one(path, body) for path, body in requests))
        assert server.is_empty()
        async with server.http.get(f"{server.url}/health") as response:
            assert response.status == 200


@LIMITS
@given(st.lists(st.tuples(PATHS, RAW), min_size=8, max_size=30))
def test_no_input_breaks_the_server(requests: list[tuple[str, bytes]]) -> None:
    asyncio.run(fire(requests))


async def hang_up(requests: list[tuple[str, int]]) -> None:
    """Start streams and leave in the middle, at the byte the example says."""
    async with running("--profile", "demo", "--max-num-seqs", "4") as server:

        async def one(path: str, after: int) -> None:
            body = {
                "messages": [{"role": "user", "content": "x"}],
                "prompt": "x",
                "input": "x",
                "max_tokens": 1000,
                "ignore_eos": True,
                "stream": True,
            }
            response = await server.http.post(f"{server.url}{path}", json=body)
            if after:
                await response.content.read(after)
            response.close()

        await asyncio.gather(*(one(path, after) for path, after in requests), return_exceptions=False)
        async with asyncio.timeout(10):
            while not server.is_empty():
                await asyncio.sleep(0.005)
        snapshot = server.simulator.driver.engines[0].snapshot()
        assert (snapshot.running, snapshot.waiting, snapshot.blocks_used) == (0, 0, 0)


@settings(LIMITS, max_examples=6)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")),
            st.sampled_from((0, 1, 300)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_clients_that_hang_up_leave_nothing_behind(requests: list[tuple[str, int]]) -> None:
    asyncio.run(hang_up(requests))


async def test_garbage_on_the_socket_gets_a_400(serve) -> None:
    async with serve() as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x00\x01 nonsense\r\n\r\n")
        answer = await reader.read(64)
        writer.close()

        assert answer.startswith(b"HTTP/1.0 400")
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/health") as response:
            assert response.status == 200
