"""Starting, stopping, restarting and re-configuring cost nobody an answer."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.conftest import free_ports
from tests.e2e.conftest import TRANSPORTS
from tests.e2e.stack import (
    PORT_COUNT,
    READY_SECONDS,
    Stack,
    all_are_well,
    completes,
    free_stack_ports,
    held_answers,
    process_stack,
    wait_until,
)
from tests.e2e.test_feedback import total
from tests.e2e.test_requests import chat

STREAMS = 50
TOKENS = 60
HELD_TOKENS = 20  # sent before the disturbance, at the patient profile's pace; the others after it


@pytest.fixture(scope="module", params=TRANSPORTS)
def slow(
    request: pytest.FixtureRequest, root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack whose model servers take their time, so that answers are in flight for seconds."""
    run = tmp_path_factory.mktemp("slow")
    ports = free_stack_ports(free_ports(PORT_COUNT))
    patient = str(root / "tests" / "data" / "patient.yaml")
    with process_stack(root, run, envoy_binary, ports, picker=request.param, simulator_profile=patient) as stack:
        yield stack


async def stream(session: aiohttp.ClientSession, url: str, number: int, started: asyncio.Event) -> int:
    """Read one streamed answer to its end; return how many content deltas came. Raise if it was cut."""
    model = ("Qwen/Qwen3-32B", "phi-4-mini-instruct")[number % 2]
    body = chat(model, f"Tell me about number {number}", stream=True, max_tokens=TOKENS, ignore_eos=True)
    deltas, finished = 0, False
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            if line.startswith(b"data: [DONE]"):
                finished = True
            elif line.startswith(b"data: ") and json.loads(line[6:])["choices"]:
                deltas += bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))
                started.set()
    assert finished, f"stream {number} was cut after {deltas} deltas"
    return deltas


async def streams_while(stack: Stack, disturb: Callable[[], None]) -> list[int]:
    """Run `STREAMS` answers; once one has begun, disturb the stack; return each answer's number of deltas.

    No answer ends before the disturbance does.
    """
    started = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=180)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as group:
        with held_answers(stack, HELD_TOKENS):
            tasks = [group.create_task(stream(session, stack.url, number, started)) for number in range(STREAMS)]
            await started.wait()
            await asyncio.sleep(0.5)  # all of them are in flight now
            await asyncio.to_thread(disturb)
            assert not any(task.done() for task in tasks), "the answers ended before the disturbance did"
    return [task.result() for task in tasks]


def restart(stack: Stack, name: str) -> int:
    """SIGTERM one process, wait for its end, start it again, wait until Envoy uses it; return its exit status."""
    running = stack.running[name]
    status = running.terminate()
    stack.start(running.process)
    wait_until(lambda: completes(stack), 20)
    return status


@pytest.mark.parametrize("name", ["epp", "bbr", "controlplane"])
async def test_sigterm_in_the_middle_of_fifty_streams_cuts_none(slow: Stack, name: str) -> None:
    statuses: list[int] = []

    deltas = await streams_while(slow, lambda: statuses.append(restart(slow, name)))

    assert deltas == [TOKENS] * STREAMS
    assert statuses == [0]


async def test_a_rolling_restart_of_pickers_and_routers_cuts_none(slow: Stack) -> None:
    def roll() -> None:
        assert [restart(slow, name) for name in ("epp", "bbr")] == [0, 0]

    assert await streams_while(slow, roll) == [TOKENS] * STREAMS


async def test_a_killed_picker_cuts_no_answer_in_flight(slow: Stack) -> None:
    def kill() -> None:
        running = slow.running["epp"]
        running.popen.kill()
        running.popen.wait()
        slow.start(running.process)
        wait_until(lambda: completes(slow), 20)

    assert await streams_while(slow, kill) == [TOKENS] * STREAMS


async def test_a_model_server_that_drains_before_it_stops_cuts_none(slow: Stack) -> None:
    """What the preStop hook of a Pod does; the process is killed the moment the picker answers."""
    port = slow.settings.ports.simulators[0]
    running = next(each for each in slow.running.values() if f":{port}/" in each.process.ready)
    stopping: list[asyncio.Future[int]] = []
    loop = asyncio.get_running_loop()

    def stop() -> int:
        drain = f"http://{HOST}:{slow.settings.ports.epp_metrics}/drain/{HOST}:{port}"
        answer = httpx.get(drain, params={"wait": "2m"}, timeout=150)
        running.popen.kill()
        running.popen.wait()
        return answer.status_code

    def begin_to_stop() -> None:
        assert shown(slow, port)["in_flight"] > 0
        stopping.append(loop.run_in_executor(None, stop))
        wait_until(lambda: shown(slow, port).get("standing") == "draining", 20)

    deltas = await streams_while(slow, begin_to_stop)
    status = await stopping[0]
    slow.start(running.process)
    wait_until(lambda: all_are_well(slow), READY_SECONDS)

    assert status == 200
    assert deltas == [TOKENS] * STREAMS


def shown(stack: Stack, port: int) -> dict[str, Any]:
    """What the picker shows of a model server; nothing where it does not."""
    pools = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug/pools").json()["pools"]
    found = [each for pool in pools for each in pool["endpoints"] if each["endpoint"].endswith(f":{port}")]
    return found[0] if found else {}


def test_the_first_answer_after_a_pickers_start_is_counted_with_its_tokens(slow: Stack) -> None:
    """Envoy opens its access log to a new picker only once it has something to say."""
    assert restart(slow, "epp") == 0
    ask_until_picked(slow)
    ended, counted = "inference_objective_request_duration_seconds_count", "inference_objective_output_tokens_count"

    wait_until(lambda: total(slow, ended) >= 1, 10)

    assert total(slow, counted) == total(slow, ended)


def ask_until_picked(stack: Stack) -> None:
    """Envoy asks a picker again when its health check has seen it."""

    def is_picked() -> bool:
        httpx.post(f"{stack.url}/v1/chat/completions", json=chat("phi-4-mini-instruct")).raise_for_status()
        return total(stack, "inference_objective_request_total") >= 1

    wait_until(is_picked, 10)


def test_every_service_answers_for_its_health_and_metrics(slow: Stack) -> None:
    ports = slow.settings.ports
    for port in (ports.epp_metrics, ports.bbr_metrics, ports.controlplane_http, *ports.simulators):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert httpx.get(f"http://{HOST}:{port}{path}").status_code == 200, f"{port}{path}"


def test_no_line_is_logged_per_request_at_the_default_level(slow: Stack) -> None:
    def lines() -> dict[str, int]:
        return {name: len(slow.log(name).splitlines()) for name in ("epp", "bbr", "controlplane", "vllm-qwen3-32b-0")}

    wait_until(
        lambda: httpx.post(f"{slow.url}/v1/chat/completions", json=chat("phi-4-mini-instruct")).status_code == 200, 10
    )
    before = lines()
    with httpx.Client(base_url=slow.url, timeout=30) as client:
        for number in range(20):
            client.post("/v1/chat/completions", json=chat("phi-4-mini-instruct", f"{number}", max_tokens=1))
        client.post("/v1/chat/completions", json=chat("no-such-model"))

    assert lines() == before
    assert "Hello" not in slow.log("epp") + slow.log("bbr")


def test_an_edited_manifest_takes_effect_without_a_dropped_request(slow: Stack) -> None:
    """A route appears and goes again while requests run."""
    failures: list[int] = []
    done = threading.Event()

    def keep_asking() -> None:
        with httpx.Client(base_url=slow.url, timeout=30) as client:
            while not done.is_set():
                status = client.post("/v1/chat/completions", json=chat("phi-4-mini-instruct", max_tokens=1)).status_code
                failures.extend([status] if status != 200 else [])

    asking = threading.Thread(target=keep_asking)
    asking.start()
    extra = slow.settings.config_dirs[-1] / "extra.yaml"
    try:
        assert extra_path(slow) == 404
        extra.write_text(ROUTE_OF_ITS_OWN)
        wait_until(lambda: extra_path(slow) == 200, 10)
        extra.unlink()
        wait_until(lambda: extra_path(slow) == 404, 10)
    finally:
        extra.unlink(missing_ok=True)
        done.set()
        asking.join()

    assert failures == []


ROUTE_OF_ITS_OWN = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: extra}
spec:
  parentRefs: [{name: inference-gateway}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /phi}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: phi-4-mini}]
"""


def extra_path(stack: Stack) -> int:
    """The status of a completion through the route that a test adds and removes."""
    body = chat("phi-4-mini-instruct", max_tokens=1)
    return httpx.post(f"{stack.url}/phi/v1/chat/completions", json=body, timeout=30).status_code


def test_a_bad_manifest_is_reported_with_its_place_and_changes_nothing(slow: Stack) -> None:
    bad = slow.settings.config_dirs[-1] / "bad.yaml"
    bad.write_text(ROUTE_OF_ITS_OWN.replace("name: phi-4-mini}", "weight: heavy, name: phi-4-mini}"))
    try:
        wait_until(lambda: "bad.yaml" in slow.log("controlplane"), 10)
        assert "weight" in slow.log("controlplane")
        assert extra_path(slow) == 404
        assert (
            httpx.post(f"{slow.url}/v1/chat/completions", json=chat("phi-4-mini-instruct"), timeout=30).status_code
            == 200
        )
    finally:
        bad.unlink()
