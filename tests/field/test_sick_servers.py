"""One model server of three is sick in a way that its metrics do not show, as public reports tell.

It is avoided within a bound, the others serve meanwhile, and it is back soon after its recovery.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.e2e.stack import Stack, standing, wait_until
from tests.e2e.test_requests import chat

QWEN = "Qwen/Qwen3-32B"
# What a client waits for before it gives up.
PATIENCE_SECONDS = 4.0
# Seconds, and the rest for a busy host.
AVOIDED_SECONDS = 40.0
BACK_SECONDS = 30.0 + 30.0

SICKNESSES: Mapping[str, Mapping[str, Any]] = {
    # Answers for its metrics and says that it runs nothing; requests are never answered.
    # https://github.com/vllm-project/vllm/issues/17972
    "hangs": {"hang": {}},
    # The engine's loop is stuck: no token is generated, health and metrics are answered.
    # https://github.com/vllm-project/vllm/issues/2731 https://github.com/azrtydxb/Fastllm-proxy/issues/19
    "is frozen": {"frozen": True},
    # The engine's process died, its API server lives and says so in /health alone.
    # https://github.com/vllm-project/vllm/issues/39863
    "is not ready": {"health": 503},
    # A server that fails at once is the least loaded, and attracts.
    "fails fast": {"error": {"status": 500}},
    "breaks connections": {"reset": {}},
    "answers no HTTP": {"not_http": {}},
    "cuts its answers": {"cut": {"after_tokens": 1}},
}


@contextmanager
def sick(stack: Stack, port: int, faults: Mapping[str, Any]) -> Iterator[None]:
    """While the body runs, one server has these faults."""
    url = f"http://{HOST}:{port}/admin/faults"
    httpx.post(url, json=dict(faults)).raise_for_status()
    try:
        yield
    finally:
        httpx.delete(url).raise_for_status()


def post(stack: Stack, text: str) -> int | None:
    """The status of one answer; None where there is none in time, or not a whole one."""
    body = chat(QWEN, text, max_tokens=4)
    try:
        return httpx.post(f"{stack.url}/v1/chat/completions", json=body, timeout=PATIENCE_SECONDS).status_code
    except httpx.HTTPError:
        return None


@contextmanager
def traffic(stack: Stack) -> Iterator[None]:
    """While the body runs, four clients ask one question after the other."""
    is_over = False

    def ask(client: int) -> None:
        number = 0
        while not is_over:
            number += 1
            post(stack, f"Question {number} of client {client} at {time.time_ns()}")

    with ThreadPoolExecutor(4) as threads:
        for client in range(4):
            threads.submit(ask, client)
        try:
            yield
        finally:
            is_over = True


@pytest.mark.parametrize("kind", SICKNESSES)
def test_a_sick_server_is_avoided_and_back_after_its_recovery(processes: Stack, kind: str) -> None:
    server = processes.settings.ports.simulators[0]
    wait_until(lambda: standing(processes, server) == "good", BACK_SECONDS)
    with sick(processes, server, SICKNESSES[kind]):
        with traffic(processes):
            wait_until(lambda: standing(processes, server) == "ejected", AVOIDED_SECONDS)
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda number: post(processes, f"Who else? {number}"), range(10)))
        assert answers.count(200) >= 9  # one may be the request that finds out whether it is well
    with traffic(processes):
        wait_until(lambda: standing(processes, server) == "good", BACK_SECONDS)


def test_clients_whose_requests_are_wrong_take_no_server_out(processes: Stack) -> None:
    servers = processes.settings.ports.simulators[:3]
    url = f"{processes.url}/v1/chat/completions"
    for number in range(60):
        wrong = chat(QWEN, f"Wrong {number}", max_tokens=4) | {"temperature": "hot"}
        assert 400 <= httpx.post(url, json=wrong, timeout=30).status_code < 500
    assert {standing(processes, server) for server in servers} == {"good"}
