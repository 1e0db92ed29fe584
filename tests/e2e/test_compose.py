"""What only containers have: replicas found by name, images that hold nothing they should not, clean stops."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.compose import PROJECT, compose, docker
from tests.e2e.test_requests import chat

pytestmark = pytest.mark.docker

QWEN = "Qwen/Qwen3-32B"
MODELS = (QWEN, "phi-4-mini-instruct")
OURS = ("controlplane", "bbr", "epp", "model-sim-a")


def pods(client: httpx.Client, count: int) -> set[str]:
    """Which servers answer so many different questions."""
    answers = (
        client.post("/v1/chat/completions", json=chat(QWEN, f"{time.time_ns()}", max_tokens=1)) for _ in range(count)
    )
    return {answer.raise_for_status().headers["x-inference-pod"] for answer in answers}


def container(root: Path, service: str) -> dict[str, object]:
    """What the engine knows of a service's first container."""
    identity = compose(root, "ps", "--quiet", service).split()[0]
    found = json.loads(docker("inspect", identity))[0]
    return dict(found)


def test_new_replicas_get_requests_within_five_seconds(composed: str, root: Path) -> None:
    with httpx.Client(base_url=composed, timeout=30) as client:
        before = pods(client, 24)
        compose(root, "up", "--detach", "--no-recreate", "--wait", "--scale", "model-sim-a=5")
        deadline = time.monotonic() + 5
        found: set[str] = set()
        while len(found) < 5 and time.monotonic() < deadline:
            found |= pods(client, 8)
        compose(root, "up", "--detach", "--no-recreate", "--wait", "--scale", "model-sim-a=3")
        statuses = {client.post("/v1/chat/completions", json=chat(QWEN, f"{n}")).status_code for n in range(20)}

    assert len(before) == 3
    assert len(found) == 5
    assert statuses == {200}, "a removed replica costs no request"


async def failures_while(url: str, disturb: Callable[[], None]) -> list[str]:
    """Of what some clients ask of both pools, of which one closes without a picker, while something is done: when, how
    long it took, and what was answered."""
    found: list[str] = []
    is_over = asyncio.Event()
    began = time.monotonic()

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        while not is_over.is_set():
            await asyncio.sleep(0.02)
            body = chat(MODELS[number % 2], f"client {number}, {time.time_ns()}", max_tokens=1)
            answer = await client.post("/v1/chat/completions", json=body)
            if answer.status_code != 200:
                took = answer.elapsed.total_seconds()
                found.append(
                    f"{time.monotonic() - began:.1f} s, took {took:.2f} s: {body['model']} {answer.text[:200]}"
                )

    async with httpx.AsyncClient(base_url=url, timeout=60) as client, asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(ask(client, number))
        await asyncio.to_thread(disturb)
        is_over.set()
    return found


def test_pickers_that_join_and_leave_under_load_cost_no_request(composed: str, root: Path) -> None:
    pickers: list[int] = []

    def scale() -> None:
        for count in (1, 3, 1):
            compose(root, "up", "--detach", "--no-recreate", "--wait", "--scale", f"epp={count}")
            pickers.append(len(compose(root, "ps", "--quiet", "epp").split()))
            time.sleep(3)

    try:
        found = asyncio.run(failures_while(composed, scale))
    finally:
        compose(root, "up", "--detach", "--no-recreate", "--wait", "--scale", "epp=2")

    assert pickers == [1, 3, 1]
    assert found == []


@pytest.mark.parametrize("service", OURS)
def test_an_image_runs_as_nobody_on_a_read_only_file_system(composed: str, root: Path, service: str) -> None:
    found = container(root, service)

    assert found["Config"]["User"] == "65532:65532"  # type: ignore[index]
    assert found["HostConfig"]["ReadonlyRootfs"] is True  # type: ignore[index]
    assert found["State"]["Health"]["Status"] == "healthy"  # type: ignore[index]


@pytest.mark.parametrize("service", OURS)
def test_the_build_tools_stay_out_of_the_image(composed: str, root: Path, service: str) -> None:
    code = (
        "import importlib.util as u; print([m for m in ('hatchling', 'grpc_tools', 'uv', 'pytest') if u.find_spec(m)])"
    )

    assert compose(root, "exec", "-T", service, "python", "-c", code).strip() == "[]"


@pytest.mark.parametrize("service", OURS)
def test_an_image_says_what_it_is_and_what_it_holds(composed: str, root: Path, service: str) -> None:
    image = str(container(root, service)["Image"])
    labels = json.loads(docker("image", "inspect", image))[0]["Config"]["Labels"]
    bill = json.loads(compose(root, "exec", "-T", service, "cat", "/app/sbom.cdx.json"))
    name = service.removesuffix("-a")

    assert labels["org.opencontainers.image.title"] == f"pointsman-{name}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    held = {each["name"] for each in bill["components"]}
    assert {"pointsman-gateway", f"pointsman-{name}", "aiohttp"} <= held
    assert not {"cyclonedx-bom", "hatchling", "pip"} & held


def test_two_endpoint_pickers_and_redis_run(composed: str, root: Path) -> None:
    listed = compose(root, "ps", "--format", "{{.Service}}").split()

    assert listed.count("epp") == 2
    assert "redis" in listed


def test_a_stopped_picker_ends_with_status_0_and_costs_no_request(composed: str, root: Path) -> None:
    name = f"{PROJECT}-epp-2"
    docker("stop", name)
    try:
        state = json.loads(docker("inspect", name))[0]["State"]
        with httpx.Client(base_url=composed, timeout=30) as client:
            statuses = [client.post("/v1/chat/completions", json=chat(QWEN, f"{n}")).status_code for n in range(10)]
    finally:
        docker("start", name)

    assert state["ExitCode"] == 0
    assert statuses == [200] * 10
