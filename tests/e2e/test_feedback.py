"""What the picker learns of an answer that it never touched: by the end of the exchange, and by Envoy's access log."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from epp.datalayer.ledger import SILENT_SECONDS
from processes.plan import HOST
from tests.e2e.stack import Stack, standing, wait_until
from tests.e2e.test_requests import MEGABYTE, chat

QWEN = "Qwen/Qwen3-32B"
PHI = "phi-4-mini-instruct"
LONGER_THAN_EXPIRY = SILENT_SECONDS + 6


def picker(stack: Stack, path: str) -> Any:
    """What the picker says of itself."""
    response = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}{path}").raise_for_status()
    return response.json() if "json" in response.headers["content-type"] else response.text


def in_flight(stack: Stack) -> int:
    """Requests that the picker believes to be under way."""
    return sum(each["in_flight"] for pool in picker(stack, "/debug/pools")["pools"] for each in pool["endpoints"])


def total(stack: Stack, name: str) -> float:
    """A counter or the sum of a histogram, over all its labels."""
    lines = picker(stack, "/metrics").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


@pytest.mark.parametrize("streamed", [False, True])
def test_token_usage_reaches_the_picker(client: httpx.Client, processes: Stack, streamed: bool) -> None:
    name = "inference_objective_output_tokens_sum"
    before = total(processes, name)

    client.post(
        "/v1/chat/completions", json=chat(QWEN, f"Usage {streamed}", max_tokens=9, stream=streamed, ignore_eos=True)
    )

    wait_until(lambda: total(processes, name) >= before + 9, 10, lambda: f"{before} → {total(processes, name)}")


def test_cached_tokens_reach_the_picker(client: httpx.Client, processes: Stack) -> None:
    name = "inference_objective_prompt_cached_tokens_sum"
    prompt = "A prompt long enough for several cache blocks. " * 20
    client.post("/v1/chat/completions", json=chat(QWEN, prompt))
    before = total(processes, name)

    client.post("/v1/chat/completions", json=chat(QWEN, prompt))

    wait_until(lambda: total(processes, name) > before, 10)


def test_an_eight_megabyte_answer_passes_with_usage_extraction(client: httpx.Client) -> None:
    """The simulator echoes; Envoy must buffer the answer to find the usage in it."""
    body = {"model": QWEN, "prompt": "word " * (8 * MEGABYTE // 5), "max_tokens": 1, "echo": True}

    answer = client.post("/v1/completions", json=body, timeout=120)

    assert answer.status_code == 200
    assert len(answer.content) > 8 * MEGABYTE


def test_a_finished_answer_releases_its_reservation(client: httpx.Client, processes: Stack) -> None:
    client.post("/v1/chat/completions", json=chat(QWEN))

    wait_until(lambda: in_flight(processes) == 0, 10)


def test_a_client_that_leaves_releases_its_reservation(client: httpx.Client, processes: Stack) -> None:
    slow_down(processes, 5.0)
    try:
        with pytest.raises(httpx.TimeoutException):
            client.post("/v1/chat/completions", json=chat(QWEN, "I will not wait"), timeout=1.0)
        wait_until(lambda: in_flight(processes) == 0, 15)
    finally:
        slow_down(processes, None)


def test_a_long_answer_keeps_its_reservation_and_then_gives_it_back(ext_proc_stack: Stack, http_stack: Stack) -> None:
    """Its stream keeps it, or Envoy's heartbeats; both doors at once, since the wait is what the test is about."""
    with ThreadPoolExecutor() as threads:
        for seen in threads.map(reservations_of_a_long_answer, (ext_proc_stack, http_stack)):
            assert set(seen) == {1}, seen
            assert len(seen) > LONGER_THAN_EXPIRY / 2


def reservations_of_a_long_answer(stack: Stack) -> list[int]:
    """How many requests were in flight, looked at again and again while one was."""
    body = chat(QWEN, "Take your time", max_tokens=4)
    slow_down(stack, LONGER_THAN_EXPIRY)
    seen = []
    try:
        with ThreadPoolExecutor() as thread:
            answer = thread.submit(httpx.post, f"{stack.url}/v1/chat/completions", json=body, timeout=60)
            wait_until(lambda: in_flight(stack) == 1, 10)
            deadline = time.monotonic() + LONGER_THAN_EXPIRY - 3
            while time.monotonic() < deadline:
                seen.append(in_flight(stack))
                time.sleep(1)
            assert answer.result().status_code == 200
    finally:
        slow_down(stack, None)
    wait_until(lambda: in_flight(stack) == 0, 10)
    return seen


def slow_down(stack: Stack, seconds: float | None) -> None:
    """Let every simulator wait before it answers, or no more."""
    for port in stack.settings.ports.simulators:
        url = f"http://{HOST}:{port}/admin/faults"
        if seconds is None:
            httpx.delete(url).raise_for_status()
        else:
            httpx.post(url, json={"spike": {"rate": 1, "seconds": seconds}}).raise_for_status()


def test_an_endpoint_that_breaks_connections_off_is_avoided_though_its_metrics_are_well(
    client: httpx.Client, processes: Stack
) -> None:
    """Envoy's access log is what tells: nothing is retried once a request was sent."""
    *_, broken = processes.settings.ports.simulators
    url = f"http://{HOST}:{broken}/admin/faults"
    httpx.post(url, json={"reset": {}}).raise_for_status()
    try:
        wait_until(lambda: standing_after_requests(client, processes, broken) == "ejected", 30)
        answers = [client.post("/v1/chat/completions", json=chat(PHI, f"Who else? {n}")) for n in range(10)]
        assert [answer.status_code for answer in answers].count(200) >= 9, "one probe at most in so short a time"
    finally:
        httpx.delete(url).raise_for_status()


def standing_after_requests(client: httpx.Client, stack: Stack, port: int) -> str:
    """What the picker thinks of an endpoint, after eight requests more at once: one that fails gets few of them."""

    def ask(number: int) -> None:
        client.post("/v1/chat/completions", json=chat(PHI, f"Anybody? {time.time_ns()} {number}"))

    with ThreadPoolExecutor() as threads:
        list(threads.map(ask, range(8)))
    return standing(stack, port)


def test_a_decision_can_be_explained_by_its_request_id(client: httpx.Client, processes: Stack) -> None:
    identity = f"explain-me-{time.time_ns()}"
    served = client.post("/v1/chat/completions", json=chat(QWEN), headers={"x-request-id": identity})

    explanation = picker(processes, f"/debug/explain/{identity}")

    port = served.headers["x-inference-port"]
    assert f"{HOST}:{port}" in json.dumps(explanation)
    assert "queue-scorer" in json.dumps(explanation)
    assert "Hello" not in json.dumps(explanation)
