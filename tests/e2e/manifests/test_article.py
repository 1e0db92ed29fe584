"""The objects of an article about the Inference Extension: a split by weight under the header that it matches on."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.conftest import free_ports
from tests.e2e.manifests.staging import (
    Served,
    Staging,
    conditions,
    picker_at,
    settings_for,
    slice_at,
    staged,
    status_of,
)
from tests.e2e.stack import Stack

pytestmark = pytest.mark.envoy

TRANSPORTS = ("ext_proc", "http")
LLAMA, QWEN = "llama-3.1-8b-instruct-v1", "Qwen/Qwen3-32B"
REQUESTS = 2000


@pytest.fixture(scope="module", params=TRANSPORTS)
def stack(
    request: pytest.FixtureRequest, root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Three pools, through either door: by the body-based router and by Envoy's own lifting."""
    run = tmp_path_factory.mktemp("article")
    one, two, qwen = free_ports(3)
    servers = (Served("v1", LLAMA, one), Served("v2", LLAMA, two), Served("qwen", QWEN, qwen))
    staging = Staging((root / "tests/data/manifests/article",), servers, picker=request.param)
    settings = settings_for(root, run, envoy_binary, staging)
    addresses = picker_at("vllm-qwen3-32b-epp", settings.ports.epp_grpc)
    addresses += slice_at("v1", {"app": "v1"}, one) + slice_at("v2", {"app": "v2"}, two)
    addresses += slice_at("qwen", {"app": "vllm-qwen3-32b"}, qwen)
    with staged(settings, staging, addresses) as running:
        yield running


def test_ninety_and_ten_percent_go_to_the_two_pools(stack: Stack) -> None:
    body = {"model": LLAMA, "prompt": "a", "max_tokens": 1}
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        answers = [client.post("/v1/completions", json=body) for _ in range(REQUESTS)]

    assert {answer.text for answer in answers if answer.status_code != 200} == set()
    served = Counter(answer.headers["x-inference-pod"] for answer in answers)
    assert served.keys() == {"v1", "v2"}
    assert abs(served["v1"] / REQUESTS - 0.9) < 0.03


def test_every_other_model_goes_to_the_pool_without_a_header(stack: Stack) -> None:
    body = {
        "model": QWEN, "prompt": "Write as if you were a critic: San Francisco", "max_tokens": 100, "temperature": 0,
    }  # fmt: skip
    answer = httpx.post(f"{stack.url}/v1/completions", json=body, timeout=30)

    assert (answer.status_code, answer.headers["x-inference-pod"]) == (200, "qwen")


def test_a_client_cannot_choose_the_pool_by_the_header(stack: Stack) -> None:
    answer = httpx.post(
        f"{stack.url}/v1/completions",
        json={"model": QWEN, "prompt": "a", "max_tokens": 1},
        headers={"x-gateway-inference-model": LLAMA},
        timeout=30,
    )

    assert answer.headers["x-inference-pod"] == "qwen"


def test_routes_and_pools_are_accepted_and_resolved(stack: Stack) -> None:
    status = status_of(stack)

    for item in (*status["routes"], *status["pools"]):
        found = conditions(item)
        assert (found["Accepted"][0], found["ResolvedRefs"][0]) == ("True", "True")
