"""Two workers of the picker and two of the router on one host, behind the real Envoy: one conversation, one kill, one
set of figures."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.e2e.stack import GRPCIO, READY_SECONDS, Stack, free_ports_of_workers, process_stack, wait_until
from tests.e2e.test_feedback import total
from tests.e2e.test_requests import chat

MODEL = "Qwen/Qwen3-32B"  # its pool is FailOpen
WORKERS = 2
PICKS = "inference_objective_request_total"


@pytest.fixture(scope="module", params=["http", GRPCIO])
def stack(
    request: pytest.FixtureRequest, root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Through either door; the fast transport of gRPC serves the access log of the first."""
    run = tmp_path_factory.mktemp("workers")
    ports = free_ports_of_workers(WORKERS)
    with process_stack(root, run, envoy_binary, ports, picker=request.param, workers=WORKERS) as stack:
        wait_until(lambda: len(ready(stack)) == WORKERS, READY_SECONDS)
        yield stack


def operators(stack: Stack, path: str) -> httpx.Response:
    return httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}{path}", timeout=10)


def workers(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = operators(stack, "/debug").json()["workers"]
    return found


def ready(stack: Stack) -> list[dict[str, Any]]:
    return [each for each in workers(stack) if each["is_ready"]]


def decisions(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = operators(stack, "/debug/decisions?n=1000").json()["decisions"]
    return found


def conversation(client: httpx.Client, name: str, turns: range) -> list[str]:
    """The servers of the turns, each of which says all that was said before."""
    text = f"{name}: " + "a long beginning that only this conversation has. " * 40
    servers = []
    for turn in turns:
        prompt = text + " ".join(f"turn {each} of {name}" for each in range(turn))
        answer = client.post("/v1/chat/completions", json=chat(MODEL, prompt, max_tokens=1))
        assert answer.status_code == 200, answer.text
        servers.append(answer.headers["x-inference-pod"])
    return servers


def test_a_conversation_keeps_its_server_whichever_worker_is_asked(stack: Stack) -> None:
    before = len(decisions(stack))
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        for name in ("red", "green", "blue"):
            assert len(set(conversation(client, name, range(8)))) == 1, name

    picks = Counter(each["worker"] for each in decisions(stack)[: 24 + before])
    assert picks.keys() == {0, 1}


def test_figures_of_all_workers_add_up_and_each_request_ends_where_it_began(stack: Stack) -> None:
    before, unended = total(stack, PICKS), in_flight(stack)
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        for number in range(20):
            client.post("/v1/chat/completions", json=chat(MODEL, f"{number}", max_tokens=1)).raise_for_status()

    assert total(stack, PICKS) == before + 20
    # Over HTTP the access log says how a request ended, to one worker for all.
    wait_until(lambda: in_flight(stack) <= unended, READY_SECONDS, lambda: operators(stack, "/metrics").text)


def in_flight(stack: Stack) -> float:
    return total(stack, "pointsman_epp_in_flight_requests")


def test_a_worker_that_is_killed_under_load_costs_no_request_and_is_back_warm(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        (home,) = set(conversation(client, "kept", range(4)))
        victim = ready(stack)[1]
        statuses = asyncio.run(load_while_killed(stack, victim["pid"]))
        wait_until(lambda: len(ready(stack)) == WORKERS, READY_SECONDS, lambda: stack.log("epp")[-4000:])

        assert statuses.keys() == {200}
        assert [each["restarts"] for each in workers(stack)] == [0, 1]
        assert workers(stack)[1]["pid"] != victim["pid"]
        # It knew what its sibling knows before it took a request.
        assert operators(stack, "/debug/replicas?worker=1").json()["lacks"] == {}
        known = [pool["index_blocks"] for pool in operators(stack, "/debug/pools?worker=1").json()["pools"]]
        assert max(known) > 0
        assert set(conversation(client, "kept", range(4, 10))) == {home}


async def load_while_killed(stack: Stack, pid: int) -> "Counter[int]":
    """The statuses of requests of twenty clients, for as long as a worker is away and a little longer."""
    statuses: Counter[int] = Counter()
    until = time.monotonic() + 60

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        while time.monotonic() < until:
            body = chat(MODEL, f"client {number}", max_tokens=1)
            async with session.post(f"{stack.url}/v1/chat/completions", json=body) as response:
                await response.read()
                statuses[response.status] += 1

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session, asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(client(session, number))
        await asyncio.sleep(1)
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        while len(await asyncio.to_thread(ready, stack)) < WORKERS:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        until = time.monotonic()
    return statuses
