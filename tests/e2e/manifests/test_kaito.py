"""KAITO's quick start with the Inference Extension: routes by path and by body, and the answers that it prints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.conftest import free_ports
from tests.e2e.manifests.staging import (
    Served,
    Staging,
    conditions,
    picker_at,
    picker_certificate,
    settings_for,
    slice_at,
    staged,
    status_of,
)
from tests.e2e.stack import Stack, wait_until

pytestmark = pytest.mark.envoy

PHI, MISTRAL = "phi-4-mini-instruct", "mistral-7b-instruct"
POOL = "workspace-%s-inferencepool"
MODEL_KEYS = {"created", "id", "max_model_len", "object", "owned_by", "parent", "permission", "root"}
PERMISSION_KEYS = {
    *("allow_create_engine", "allow_fine_tuning", "allow_logprobs", "allow_sampling", "allow_search_indices"),
    *("allow_view", "created", "group", "id", "is_blocking", "object", "organization"),
}
CHAT_KEYS = {
    *("choices", "created", "id", "kv_transfer_params", "model", "object", "prompt_logprobs", "service_tier"),
    *("system_fingerprint", "usage"),
}
CHOICE_KEYS = {"finish_reason", "index", "logprobs", "message", "stop_reason"}
MESSAGE_KEYS = {
    *("annotations", "audio", "content", "function_call", "reasoning_content", "refusal", "role", "tool_calls"),
}


@pytest.fixture(scope="module")
def stack(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Both Workspaces, each with one server; the routes are those by body."""
    run = tmp_path_factory.mktemp("kaito")
    phi, mistral = free_ports(2)
    weights, options = "/workspace/vllm/weights", ("--max-model-len", "131072")
    staging = Staging(
        (root / "tests/data/manifests/kaito",),
        (Served("phi", PHI, phi, weights, options), Served("mistral", MISTRAL, mistral, weights, options)),
        certificate=picker_certificate(tmp_path_factory.mktemp("certificate")),
    )
    settings = settings_for(root, run, envoy_binary, staging)
    addresses = ""
    for name, port in (("phi-4-mini", phi), ("mistral-7b-instruct", mistral)):
        addresses += slice_at(name, {"kaito.sh/workspace": f"workspace-{name}"}, port)
        addresses += picker_at(f"{POOL % name}-epp", settings.ports.epp_grpc)
    with staged(settings, staging, addresses) as running:
        yield running


def chat(stack: Stack, model: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "What is kubernetes?"}], "max_tokens": 50}
    return httpx.post(f"{stack.url}/v1/chat/completions", json=body, timeout=30)


def listed(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{stack.url}/v1/models", timeout=30).raise_for_status().json()
    return {model["id"]: model for model in found["data"]}


@pytest.mark.parametrize("model", [PHI, MISTRAL])
def test_each_model_of_a_body_is_served_by_its_workspace(stack: Stack, model: str) -> None:
    answer = chat(stack, model).raise_for_status().json()

    assert answer["model"] == model
    assert answer.keys() >= CHAT_KEYS
    (choice,) = answer["choices"]
    assert choice.keys() >= CHOICE_KEYS
    assert choice["message"].keys() >= MESSAGE_KEYS
    assert choice["message"]["reasoning_content"] is None
    assert choice["finish_reason"] in ("length", "stop")


def test_the_models_of_both_workspaces_are_listed_as_the_engine_lists_them(stack: Stack) -> None:
    wait_until(lambda: listed(stack).keys() == {PHI, MISTRAL}, 20)

    model = listed(stack)[PHI]
    assert model.keys() >= MODEL_KEYS
    assert (model["root"], model["max_model_len"], model["parent"]) == ("/workspace/vllm/weights", 131072, None)
    assert model["permission"][0].keys() == PERMISSION_KEYS


def test_the_conditions_are_worded_as_the_document_shows_them(stack: Stack) -> None:
    status = status_of(stack)

    assert conditions(status["routes"][0]) == {
        "Accepted": ("True", "Accepted", "Route was valid"),
        "ResolvedRefs": ("True", "ResolvedRefs", "All references resolved"),
    }
    assert {pool["name"] for pool in status["pools"]} == {POOL % "phi-4-mini", POOL % "mistral-7b-instruct"}
    for pool in status["pools"]:
        assert conditions(pool) == {
            "Accepted": ("True", "Accepted", "Referenced by an HTTPRoute accepted by the parentRef Gateway"),
            "ResolvedRefs": ("True", "ResolvedRefs", "Referenced ExtensionRef resolved successfully"),
        }
        assert pool["pickerSecurity"].startswith("unverified TLS: DestinationRule")
    assert status["routes"][0]["parents"][0]["controllerName"] == "pointsman.dev/controlplane"


def test_a_route_by_path_takes_the_place_of_the_one_by_body_while_it_serves(stack: Stack, root: Path) -> None:
    overlay = stack.settings.config_dirs[-1] / "route.yaml"
    overlay.write_text((root / "tests/data/manifests/kaito-by-path/route.yaml").read_text())
    try:
        wait_until(lambda: httpx.get(f"{stack.url}/v1/models").json()["data"][0]["id"] == PHI, 20)
        wait_until(lambda: chat(stack, MISTRAL).status_code == 404, 20)  # the server's own answer: it has no such model

        assert chat(stack, PHI).status_code == 200
        (model,) = listed(stack).values()
        assert (model["id"], model["root"]) == (PHI, "/workspace/vllm/weights")
    finally:
        overlay.unlink()
        wait_until(lambda: chat(stack, MISTRAL).status_code == 200, 20)
