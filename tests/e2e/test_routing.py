"""Where requests go, and why: affinity against load, spoofed headers, empty pools."""

import re
from collections.abc import Iterator

import httpx2 as httpx
import pytest
import yaml

from processes.plan import HOST
from tests.e2e.stack import Stack, known_endpoints, wait_until
from tests.e2e.test_requests import chat, error

QWEN = "Qwen/Qwen3-32B"


def override_metrics(stack: Stack, port: int, **metrics: float) -> None:
    """Let one simulator claim other figures on /metrics."""
    httpx.post(f"http://{HOST}:{port}/admin/faults", json={"metrics": metrics}).raise_for_status()


@pytest.fixture
def honest_metrics(processes: Stack) -> Iterator[None]:
    """Clear every override afterwards, and wait until the picker has seen it."""
    yield
    for port in processes.settings.ports.simulators:
        httpx.delete(f"http://{HOST}:{port}/admin/faults").raise_for_status()
    wait_until(lambda: max(kv_usages(processes)) < 0.3, 20)


def kv_usages(stack: Stack) -> list[float]:
    """What the picker scraped of each endpoint."""
    return [each["metrics"]["kv_usage"] or 0.0 for each in known_endpoints(stack)]


def port_of(pod: str, stack: Stack) -> int:
    """The port of the simulator that calls itself so."""
    return int(stack.running[pod].process.ready.rpartition(":")[2].partition("/")[0])


@pytest.mark.usefixtures("honest_metrics")
@pytest.mark.parametrize(("waiting", "stays"), [(10, True), (400, False)])
def test_a_prefix_holds_its_server_until_waiting_there_costs_more_than_the_cache_saves(
    client: httpx.Client, processes: Stack, waiting: int, stays: bool
) -> None:
    """The affinity gate: 2 ms a request there against 50 ms and what some 700 tokens of prefill take."""
    prefix = f"A shared preface for {waiting}. " + "Consider the following with care. " * 80
    first = client.post("/v1/chat/completions", json=chat(QWEN, prefix + "One?")).headers["x-inference-pod"]
    assert client.post("/v1/chat/completions", json=chat(QWEN, prefix + "Two?")).headers["x-inference-pod"] == first

    override_metrics(processes, port_of(first, processes), num_requests_waiting=waiting, kv_cache_usage_perc=0.4)
    wait_until(lambda: any(abs(usage - 0.4) < 0.01 for usage in kv_usages(processes)), 20)
    then = client.post("/v1/chat/completions", json=chat(QWEN, prefix + "Three?")).headers["x-inference-pod"]

    assert (then == first) is stays


@pytest.mark.parametrize("name", ["x-gateway-destination-endpoint", "x-gateway-destination-endpoint-subset"])
def test_a_client_cannot_steer_by_a_control_header(client: httpx.Client, processes: Stack, name: str) -> None:
    other_pool = processes.settings.ports.simulators[-1]
    headers = {name: f"{HOST}:{other_pool}"}

    response = client.post("/v1/chat/completions", json=chat(QWEN), headers=headers)

    assert response.status_code == 200
    assert response.headers["x-inference-pod"].startswith("vllm-qwen3-32b-")


def test_a_client_cannot_choose_the_pool_by_the_model_header(client: httpx.Client) -> None:
    headers = {"x-gateway-model-name": "phi-4-mini-instruct", "x-gateway-base-model-name": "phi-4-mini-instruct"}

    response = client.post("/v1/chat/completions", json=chat(QWEN), headers=headers)

    assert response.headers["x-inference-pod"].startswith("vllm-qwen3-32b-")


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_retrieved_cancelled_and_continued_where_it_lives(client: httpx.Client, *, stream: bool) -> None:
    """The simulator keeps nothing and answers 404, as vLLM does unless it is told to store; it says who it is."""
    question = {"model": QWEN, "input": f"Remember this: {stream}", "max_output_tokens": 2, "stream": stream}
    created = client.post("/v1/responses", json=question)
    home = created.headers["x-inference-pod"]
    found = re.search(r'"id": ?"(resp_[^"]+)"', created.text)
    assert found is not None

    def pods() -> set[str | None]:
        by_id = f"/v1/responses/{found[1]}"
        answers = [
            client.get(by_id), client.delete(by_id), client.post(f"{by_id}/cancel"), client.get(f"{by_id}/input_items"),
            *(client.post("/v1/responses", json={**question, "previous_response_id": found[1]}) for _ in range(3)),
        ]  # fmt: skip
        return {answer.headers.get("x-inference-pod") for answer in answers}

    wait_until(lambda: client.get(f"/v1/responses/{found[1]}").headers.get("x-inference-pod") is not None, 10)
    assert pods() == {home}


def test_a_response_that_nobody_keeps_is_not_found(client: httpx.Client) -> None:
    answer = client.get("/v1/responses/resp_unknown")

    assert (answer.status_code, error(answer)["code"]) == (404, "stored_not_found")


def test_a_client_may_name_its_objective(client: httpx.Client) -> None:
    headers = {"x-gateway-inference-objective": "small-segment-lora", "x-gateway-inference-fairness-id": "someone"}

    assert client.post("/v1/chat/completions", json=chat(QWEN), headers=headers).status_code == 200


def test_a_dead_endpoint_costs_no_request(client: httpx.Client, processes: Stack) -> None:
    running = processes.running["phi-4-mini-1"]
    running.popen.kill()
    running.popen.wait()
    try:
        answers = [client.post("/v1/chat/completions", json=chat("phi-4-mini-instruct", f"{n}")) for n in range(20)]
        assert [answer.status_code for answer in answers] == [200] * 20
    finally:
        processes.start(running.process)


def is_refused(answer: httpx.Response, code: str) -> bool:
    """Whether a request got 503 with this code."""
    return answer.status_code == 503 and error(answer)["code"] == code


def test_a_pool_without_a_ready_endpoint_answers_503(client: httpx.Client, processes: Stack) -> None:
    file = processes.settings.config_dirs[-1] / "endpoints.yaml"
    edited = file.read_text()
    slices = yaml.safe_load(edited)
    for each in slices["items"]:
        if each["metadata"]["labels"].get("app") == "vllm-qwen3-32b":
            each["endpoints"][0]["conditions"] = {"ready": False}
    file.write_text(yaml.safe_dump(slices))
    try:
        # Envoy may take the file in before the picker does: until then a pick ends at a server that has left.
        wait_until(lambda: is_refused(client.post("/v1/chat/completions", json=chat(QWEN)), "no_ready_endpoint"), 20)
        answer = client.post("/v1/chat/completions", json=chat(QWEN))
        assert is_refused(answer, "no_ready_endpoint")
        assert "endpoint" in str(error(answer)["message"])
    finally:
        file.write_text(edited)
        wait_until(lambda: client.post("/v1/chat/completions", json=chat(QWEN)).status_code == 200, 20)
