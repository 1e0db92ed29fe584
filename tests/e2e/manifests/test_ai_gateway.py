"""Envoy AI Gateway's page about the Inference Extension: a header sends requests through the picker or around it."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.conftest import free_ports
from tests.e2e.manifests.staging import (
    Served,
    Staging,
    conditions,
    picked,
    picker_at,
    settings_for,
    slice_at,
    staged,
    status_of,
)
from tests.e2e.stack import Stack

pytestmark = pytest.mark.envoy

MODEL = "mistral:latest"
HEADER = "x-target-inference-extension"
BACKEND = """---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: addresses}}
spec:
  endpoints: [{{ip: {{address: {host}, port: {one}}}}}, {{fqdn: {{hostname: localhost, port: {two}}}}}]
"""


@pytest.fixture(scope="module")
def stack(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The page's rules and pool over a Backend with an address and a host name."""
    one, two = free_ports(2)
    servers = (Served("one", MODEL, one), Served("two", MODEL, two))
    staging = Staging((root / "tests/data/manifests/ai-gateway",), servers)
    settings = settings_for(root, tmp_path_factory.mktemp("page"), envoy_binary, staging)
    addresses = BACKEND.format(host=HOST, one=one, two=two) + picker_at("epp", settings.ports.epp_grpc)
    with staged(settings, staging, addresses) as running:
        yield running


@pytest.fixture(scope="module")
def full(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The full example of version 0.2."""
    (port,) = free_ports(1)
    staging = Staging((root / "tests/data/manifests/ai-gateway-full",), (Served("test", MODEL, port),))
    settings = settings_for(root, tmp_path_factory.mktemp("full"), envoy_binary, staging)
    addresses = slice_at("servers", {"app": "inference-extension-example-backend"}, port)
    with staged(settings, staging, addresses + picker_at("epp", settings.ports.epp_grpc)) as running:
        yield running


def ask(stack: Stack, target: str) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
    return httpx.post(f"{stack.url}/v1/chat/completions", json=body, headers={HEADER: target}, timeout=30)


def test_a_request_with_yes_goes_through_the_picker(stack: Stack) -> None:
    before = picked(stack)

    answers = [ask(stack, "yes") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    assert picked(stack) == before + 20


def test_a_request_with_no_goes_around_the_picker_to_every_address(stack: Stack) -> None:
    before = picked(stack)

    answers = [ask(stack, "no") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-inference-pod"] for answer in answers} == {"one", "two"}
    assert picked(stack) == before


def test_a_request_with_neither_is_not_routed(stack: Stack) -> None:
    assert ask(stack, "perhaps").status_code == 404


def test_the_pool_without_a_reference_is_served_by_the_default_picker(stack: Stack) -> None:
    (pool,) = status_of(stack)["pools"]

    assert conditions(pool)["ResolvedRefs"][2] == "The default endpoint picker default/epp is asked"
    assert pool["endpoints"] == 2


def test_the_full_example_goes_through_the_picker(full: Stack) -> None:
    before = picked(full)

    assert ask(full, "yes").headers["x-inference-pod"] == "test"
    assert picked(full) == before + 1
    assert ask(full, "no").status_code == 404
