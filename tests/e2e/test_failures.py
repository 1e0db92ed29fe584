"""The failure matrix through both doors: a picker that is down, hung or back, for pools that open and that close.

The demo's Qwen pool is FailOpen, its Phi pool FailClose.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx2 as httpx
import pytest

from tests.e2e.stack import READY_SECONDS, Stack, completes, held_answers, standing, wait_until
from tests.e2e.test_requests import MEGABYTE, chat, error

OPEN, CLOSED = "Qwen/Qwen3-32B", "phi-4-mini-instruct"
BODIES = {"small": "Hello", "8 MB": "word " * (8 * MEGABYTE // 5)}


@pytest.fixture
def dead_picker(processes: Stack, client: httpx.Client) -> Iterator[None]:
    """The picker is killed; afterwards it is back, and Envoy uses it."""
    running = processes.running["epp"]
    running.popen.kill()
    running.popen.wait()
    yield
    processes.start(running.process)
    wait_until(lambda: completes(processes), READY_SECONDS)


@pytest.fixture
def hung_picker(processes: Stack, client: httpx.Client) -> Iterator[None]:
    """The picker accepts connections and says nothing."""
    running = processes.running["epp"]
    running.popen.send_signal(signal.SIGSTOP)
    yield
    running.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: completes(processes), READY_SECONDS)


@pytest.mark.usefixtures("dead_picker")
@pytest.mark.parametrize("size", BODIES)
def test_a_pool_that_opens_serves_without_its_picker(client: httpx.Client, size: str) -> None:
    for _ in range(3):
        response = client.post("/v1/chat/completions", json=chat(OPEN, BODIES[size], max_tokens=1))

        assert response.headers["x-inference-pod"].startswith("vllm-qwen3-32b-")


@pytest.mark.usefixtures("dead_picker")
@pytest.mark.parametrize("size", BODIES)
def test_a_pool_that_closes_refuses_without_its_picker(client: httpx.Client, size: str) -> None:
    for _ in range(3):
        response = client.post("/v1/chat/completions", json=chat(CLOSED, BODIES[size], max_tokens=1))

        assert response.status_code == 503
        assert error(response)["code"] == "picker_unavailable"


@pytest.mark.usefixtures("dead_picker")
def test_an_unknown_model_stays_a_404_without_the_picker(client: httpx.Client) -> None:
    response = client.post("/v1/chat/completions", json=chat("no-such-model"))

    assert (response.status_code, error(response)["code"]) == (404, "model_not_found")


@pytest.mark.usefixtures("hung_picker")
def test_a_pool_that_opens_serves_with_a_hung_picker(client: httpx.Client) -> None:
    started = time.monotonic()

    response = client.post("/v1/chat/completions", json=chat(OPEN, max_tokens=1))

    assert response.status_code == 200
    assert time.monotonic() - started < 15


@pytest.mark.usefixtures("hung_picker")
def test_a_pool_that_closes_refuses_with_a_hung_picker(client: httpx.Client) -> None:
    response = client.post("/v1/chat/completions", json=chat(CLOSED, max_tokens=1))

    assert response.status_code in {503, 504}
    assert error(response)["code"] in {"picker_unavailable", "upstream_timeout"}


def test_without_the_router_a_request_is_refused_or_does_not_need_it(client: httpx.Client, processes: Stack) -> None:
    router = processes.running["bbr"]
    router.terminate()
    try:
        status = client.post("/v1/chat/completions", json=chat(OPEN, max_tokens=1)).status_code
    finally:
        processes.start(router.process)
        wait_until(lambda: completes(processes), READY_SECONDS)

    assert status == (200 if processes.settings.picker == "http" else 503)


@pytest.mark.parametrize("name", ["epp", "bbr"])
def test_after_a_stall_of_three_seconds_every_request_is_served(
    client: httpx.Client, processes: Stack, name: str
) -> None:
    process = processes.running[name].popen
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)

    statuses = [
        client.post("/v1/chat/completions", json=chat(model, f"{n}", max_tokens=1)).status_code
        for n in range(50)
        for model in (OPEN, CLOSED)
    ]

    assert statuses == [200] * 100


def test_a_picker_that_is_back_is_asked_again(client: httpx.Client, processes: Stack) -> None:
    running = processes.running["epp"]
    assert running.terminate() == 0
    processes.start(running.process)

    wait_until(lambda: client.post("/v1/chat/completions", json=chat(CLOSED, max_tokens=1)).status_code == 200, 20)


def test_a_stream_survives_the_death_of_its_picker(client: httpx.Client, processes: Stack) -> None:
    body = chat(OPEN, stream=True, max_tokens=400, ignore_eos=True)
    with ExitStack() as release:
        release.enter_context(held_answers(processes, 10))
        with client.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            running = processes.running["epp"]
            running.popen.kill()
            running.popen.wait()
            release.close()
            rest = list(lines)
    processes.start(running.process)
    wait_until(lambda: completes(processes), READY_SECONDS)

    assert "data: [DONE]" in rest


@pytest.fixture
def hung_server(processes: Stack) -> Iterator[int]:
    """A model server that accepts connections and says nothing; its port."""
    running = processes.running["phi-4-mini-0"]
    running.popen.send_signal(signal.SIGSTOP)
    port = processes.settings.ports.simulators[3]
    yield port
    running.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: standing(processes, port) != "ejected", 60)


def test_a_hung_model_server_gets_no_requests_for_long(
    client: httpx.Client, processes: Stack, hung_server: int
) -> None:
    wait_until(lambda: standing(processes, hung_server) == "ejected", 30)
    answers = []
    for number in range(10):
        with suppress(httpx.ReadTimeout):  # a probe, when it is due
            body = chat(CLOSED, f"Who else? {number}")
            answers.append(client.post("/v1/chat/completions", json=body, timeout=5))
    assert len(answers) >= 9, "one probe at most in so short a time"
    assert {answer.status_code for answer in answers} == {200}
    assert str(hung_server) not in {answer.headers["x-inference-port"] for answer in answers}
