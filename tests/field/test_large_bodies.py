"""The worst bodies within the limit, from several clients at once: each is refused, and nobody else is.

https://github.com/vllm-project/vllm/issues/24910 https://github.com/BerriAI/litellm/pull/31497
"""

from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest

from gateway.wire.protocol import DEFAULT_BODY_LIMIT_BYTES
from tests.e2e.stack import Stack
from tests.e2e.test_requests import chat

QWEN = "Qwen/Qwen3-32B"
AT_ONCE = 4
START = b'{"model":"Qwen/Qwen3-32B","messages":[{"role":"user","content":"x"}],"tools":['
SIZE = DEFAULT_BODY_LIMIT_BYTES - 4096


def filled(item: bytes) -> bytes:
    return START + item * ((SIZE - len(START)) // len(item)) + b"0]}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (filled(b"[],"), 413),
        (filled(b'{"a":{"b":[{},{"c":1}]}},'), 413),
        (b"[" * SIZE, 413),
        (b"[" * (DEFAULT_BODY_LIMIT_BYTES + 1), 413),
    ],
    ids=["lists", "nested tools", "depth", "over the limit"],
)
def test_a_body_of_nothing_but_structure_is_refused_and_the_others_are_served(
    processes: Stack, body: bytes, status: int
) -> None:
    url = f"{processes.url}/v1/chat/completions"
    headers = {"content-type": "application/json"}

    def attack(_: int) -> int:
        return httpx.post(url, content=body, headers=headers, timeout=60).status_code

    def ask(number: int) -> int:
        return httpx.post(url, json=chat(QWEN, f"Hello {number}", max_tokens=1), timeout=60).status_code

    with ThreadPoolExecutor(AT_ONCE) as hostile, ThreadPoolExecutor(2) as others:
        refused = hostile.map(attack, range(2 * AT_ONCE))
        assert set(others.map(ask, range(20))) == {200}
        assert set(refused) == {status}
