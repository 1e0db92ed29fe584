"""A pool of one server and a provider behind it: what the picker has no endpoint for, the provider serves."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.conftest import free_ports
from tests.contract.envoy.ai_gateway import at, backend, route
from tests.contract.envoy.gateway_under_test import GATEWAY, pool
from tests.e2e.manifests.staging import Served, Staging, picker_at, settings_for, slice_at, staged
from tests.e2e.stack import Stack, wait_until

pytestmark = pytest.mark.envoy

TRANSPORTS = ("ext_proc", "http")
MODEL = "m"


@pytest.fixture(params=TRANSPORTS)
def stack(request: pytest.FixtureRequest, root: Path, envoy_binary: Path, tmp_path: Path) -> Iterator[Stack]:
    """The pool's server is "own", the provider's "provider"."""
    own, provider = free_ports(2)
    manifests, run = tmp_path / "manifests", tmp_path / "run"
    manifests.mkdir()
    run.mkdir()
    tiers = route("{kind: InferencePool, name: own}", "{name: provider, priority: 1}")
    (manifests / "all.yaml").write_text(GATEWAY + tiers + pool("own") + backend("provider", at(provider)))
    servers = (Served("own", MODEL, own), Served("provider", MODEL, provider))
    settings = settings_for(root, run, envoy_binary, Staging((manifests,), servers, picker=request.param))
    addresses = slice_at("own", {"app": "own"}, own) + picker_at("epp", settings.ports.epp_grpc)
    with staged(settings, Staging((manifests,), servers, picker=request.param), addresses) as running:
        yield running


def served(stack: Stack) -> str:
    body = {"model": MODEL, "prompt": "a", "max_tokens": 1}
    answer = httpx.post(f"{stack.url}/v1/completions", json=body, headers={"x-case": "ai"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-inference-pod"]


def test_a_provider_serves_while_the_pools_only_server_is_gone(stack: Stack) -> None:
    assert served(stack) == "own"
    running = stack.running["own"]
    running.popen.kill()
    running.popen.wait()

    began = time.monotonic()
    assert {served(stack) for _ in range(30)} == {"provider"}
    assert time.monotonic() - began < 60, "a second in the picker's queue at most, each"

    stack.start(running.process)
    wait_until(lambda: served(stack) == "own", 60)


def test_a_provider_serves_while_the_pool_has_no_server(stack: Stack) -> None:
    addresses = stack.settings.config_dirs[-1] / "addresses.yaml"
    written = addresses.read_text()
    addresses.write_text(written.replace("endpoints: [{addresses: ['127.0.0.1']}]", "endpoints: []", 1))

    wait_until(lambda: served(stack) == "provider", 20)
    assert {served(stack) for _ in range(10)} == {"provider"}
