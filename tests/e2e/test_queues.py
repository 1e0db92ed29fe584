"""Flow control on the real Envoy, through both doors: what waits, who goes first, and what ends it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.conftest import free_ports
from tests.e2e.conftest import DOORS
from tests.e2e.stack import PORT_COUNT, Stack, free_stack_ports, held_answers, process_stack, wait_until
from tests.e2e.test_requests import chat, error

MODEL = "Qwen/Qwen3-32B"
SLOTS = 3  # one for each simulator of its pool
WAITING = 6
IMPORTANT, SHEDDABLE = 2, -1  # the priorities of the demo's objectives base-model and batch
# Longer than Envoy's own timeout for a silent picker.
PATIENCE_SECONDS = 3.5
CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- {type: concurrency-detector, parameters: {maxConcurrency: 1}}
- {type: queue-scorer}
flowControl:
  maxRequests: 6
  enableEviction: %s
  saturationDetector: {pluginRef: concurrency-detector}
"""


def stack_of(door: str, evicts: str, folder: Path, root: Path, envoy: Path) -> Iterator[Stack]:
    """The demo with one slot for each simulator."""
    config = folder / "epp.yaml"
    config.write_text(CONFIG % evicts)
    ports = free_stack_ports(free_ports(PORT_COUNT))
    with process_stack(root, folder / "run", envoy, ports, picker=door, epp_config=config) as stack:
        yield stack


@pytest.fixture(scope="module", params=DOORS)
def queued(
    request: pytest.FixtureRequest, root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Through each door."""
    yield from stack_of(request.param, "false", tmp_path_factory.mktemp("queued"), root, envoy_binary)


@pytest.fixture
def evicting(root: Path, envoy_binary: Path, tmp_path: Path) -> Iterator[Stack]:
    """Sheddable answers end for others; over ext_proc alone."""
    yield from stack_of("ext_proc", "true", tmp_path, root, envoy_binary)


Send = Callable[..., "Future[httpx.Response]"]


@pytest.fixture
def send(request: pytest.FixtureRequest) -> Iterator[Send]:
    """Requests that run while the test goes on."""
    stack = request.getfixturevalue("evicting" if "evicting" in request.fixturenames else "queued")
    with ThreadPoolExecutor(4 * WAITING) as pool, httpx.Client(base_url=stack.url, timeout=30) as client:

        def post(objective: str = "", **fields: Any) -> "Future[httpx.Response]":
            headers = {"x-gateway-inference-objective": objective} if objective else {}
            return pool.submit(
                client.post, "/v1/chat/completions", json=chat(MODEL, max_tokens=5, **fields), headers=headers
            )

        yield post


def queue(stack: Stack) -> dict[str, Any]:
    """What waits before the pool."""
    answer = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug/queues")
    found: dict[str, Any] = next(each for each in answer.json()["queues"] if each["pool"].endswith("qwen3-32b"))
    return found


def waiting(stack: Stack) -> int:
    """How many requests wait."""
    found: int = queue(stack)["waiting"]["requests"]
    return found


def fill(stack: Stack, send: Send, objective: str = "") -> list["Future[httpx.Response]"]:
    """Take every slot."""
    running = [send(objective) for _ in range(SLOTS)]
    wait_until(lambda: queue(stack)["saturation"]["effective"] >= 1.0, 10)
    return running


def test_what_is_more_than_the_pool_has_room_for_waits_and_is_served(queued: Stack, send: Send) -> None:
    with held_answers(queued, 2):
        running = fill(queued, send)
        late = [send() for _ in range(WAITING)]
        wait_until(lambda: waiting(queued) == WAITING, 10)
        time.sleep(PATIENCE_SECONDS)
        assert not any(answer.done() for answer in (*running, *late))

    for answer in (*running, *late):
        assert answer.result().status_code == 200
        assert answer.result().headers["x-inference-pod"].startswith("vllm-qwen3-32b-")
    wait_until(lambda: waiting(queued) == 0, 10)


def test_more_than_may_wait_is_refused_with_a_time_to_come_back(queued: Stack, send: Send) -> None:
    with held_answers(queued, 2):
        fill(queued, send)
        late = [send() for _ in range(WAITING)]
        wait_until(lambda: waiting(queued) == WAITING, 10)

        refused = send().result()

        assert refused.status_code == 429
        assert error(refused)["code"] == "pool_saturated"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-llm-d-request-dropped-reason"] == "rejected-saturated"
    assert all(answer.result().status_code == 200 for answer in late)


def test_the_more_important_request_is_served_first(queued: Stack, send: Send) -> None:
    """By the picker's decisions: answers of three servers may end in another order than they began."""
    names = ["batch"] * SLOTS + ["base-model"] * SLOTS
    late = []
    with held_answers(queued, 2):
        fill(queued, send)
        for before, name in enumerate(names):
            late.append(send(name))
            wait_until(lambda before=before: waiting(queued) == before + 1, 10)
    assert [answer.result().status_code for answer in late] == [200] * WAITING

    assert last_priorities(queued, WAITING) == [IMPORTANT] * SLOTS + [SHEDDABLE] * SLOTS


def last_priorities(stack: Stack, count: int) -> list[int]:
    """Of the last requests that were placed, in the order in which they were."""
    answer = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug/decisions?n={count}")
    return [each["priority"] for each in reversed(answer.json()["decisions"])]


def test_a_client_that_leaves_leaves_the_queue(queued: Stack, send: Send) -> None:
    with held_answers(queued, 2):
        fill(queued, send)
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{queued.url}/v1/chat/completions", json=chat(MODEL), timeout=1)
        wait_until(lambda: waiting(queued) == 0, 10)


def test_metrics_count_what_waited(queued: Stack, send: Send) -> None:
    with held_answers(queued, 2):
        fill(queued, send)
        late = send()
        wait_until(lambda: waiting(queued) == 1, 10)
        text = httpx.get(f"http://{HOST}:{queued.settings.ports.epp_metrics}/metrics").text
        name = "inference_extension_flow_control_queue_size"
        (size,) = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
        assert size.endswith(" 1.0")
    assert late.result().status_code == 200


def test_a_batch_answer_ends_for_a_more_important_request(evicting: Stack, send: Send) -> None:
    with held_answers(evicting, 2):
        batch = fill(evicting, send, "batch")
        urgent = send("base-model")

        wait_until(lambda: any(answer.done() for answer in batch), 10)

        (ended,) = [answer.result() for answer in batch if answer.done()]
        assert ended.status_code == 429
        assert error(ended)["message"] == "request evicted by flow control"
        assert ended.headers["x-llm-d-request-dropped-reason"] == "evicted"
        wait_until(lambda: waiting(evicting) == 0, 10)
    assert urgent.result().status_code == 200
