"""Model servers with an API key behind the gateway: clients bring the key, the gateway has none."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.conftest import free_ports
from tests.e2e.conftest import DOORS
from tests.e2e.stack import PORT_COUNT, free_stack_ports, process_stack, wait_until
from tests.e2e.test_requests import chat

KEY = {"authorization": "Bearer secret"}


@pytest.fixture(params=DOORS, scope="module")
def keyed(
    request: pytest.FixtureRequest, root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a stack whose servers all have a key."""
    folder, ports = tmp_path_factory.mktemp("keyed"), free_stack_ports(free_ports(PORT_COUNT))
    options = ("--api-key", "secret")
    with (
        process_stack(root, folder, envoy_binary, ports, picker=request.param, simulator_options=options) as stack,
        httpx.Client(base_url=stack.url, timeout=30) as client,
    ):
        yield client


def listed(client: httpx.Client, headers: dict[str, str]) -> set[str]:
    answer = client.get("/v1/models", headers=headers).raise_for_status()
    return {item["id"] for item in answer.json()["data"]}


def test_a_client_with_the_key_sees_the_models_of_all_pools(keyed: httpx.Client) -> None:
    everything = {"Qwen/Qwen3-32B", "food-review-1", "code-assist", "phi-4-mini-instruct"}

    wait_until(lambda: listed(keyed, KEY) == everything, 20)
    assert "incomplete" not in keyed.get("/v1/models", headers=KEY).json()
    assert keyed.get("/v1/models/code-assist", headers=KEY).json()["id"] == "code-assist"
    assert keyed.get("/v1/models/code-assist").status_code == 404
    assert listed(keyed, {}) == set()
    assert keyed.get("/v1/models").json()["incomplete"] == ["default/phi-4-mini", "default/vllm-qwen3-32b"]
    assert listed(keyed, {"authorization": "Bearer wrong"}) == set()


def test_requests_pass_with_the_key_and_are_refused_without(keyed: httpx.Client) -> None:
    assert keyed.post("/v1/chat/completions", json=chat("Qwen/Qwen3-32B"), headers=KEY).status_code == 200
    assert keyed.post("/v1/chat/completions", json=chat("Qwen/Qwen3-32B")).status_code == 401
