"""`pointsman up DIR`: published manifests on a host without a cluster, with no address written down."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
import yaml

from processes.sweep import members
from tests.e2e.command.command import free_offset, running, url_in

pytestmark = pytest.mark.envoy

# The article's own simulators, and what it leaves out for its two further pools.
DEPLOYMENTS = """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm-qwen3-32b}
spec:
  replicas: 3
  selector: {matchLabels: {app: vllm-qwen3-32b}}
  template:
    metadata: {labels: {app: vllm-qwen3-32b, inference.networking.k8s.io/engine-type: vllm}}
    spec:
      containers:
      - name: vllm-sim
        image: ghcr.io/llm-d/llm-d-inference-sim:v0.7.1
        args: [--model, Qwen/Qwen3-32B, --port, "8000", --max-loras, "2", --lora-modules, '{"name": "food-review-1"}']
        ports: [{containerPort: 8000, name: http}]
"""
UNKNOWN = DEPLOYMENTS.replace("ghcr.io/llm-d/llm-d-inference-sim:v0.7.1", "nginx:1")


def without_addresses(folder: Path) -> str:
    """The documents of a folder but for the EndpointSlices."""
    documents = (each for file in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text()))
    return yaml.safe_dump_all([each for each in documents if each and each["kind"] != "EndpointSlice"])


@contextmanager
def served(root: Path, run: Path, name: str, more: str = "", options: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """A document's manifests with one command; the gateway's address, and what was printed."""
    (run / "all.yaml").write_text(without_addresses(root / "tests/data/manifests" / name) + more)
    command = [str(root / ".venv/bin/pointsman"), "up", "all.yaml", "--port-offset", str(free_offset())]
    with running([*command, "--dir", str(run / "run"), *options], run) as up:
        text = up.announced()
        yield url_in(text), text
    assert members(run / "run") == frozenset()


def completion(url: str, model: str, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"model": model, "prompt": "a", "max_tokens": 1}
    return httpx.post(f"{url}/v1/completions", json=body, headers=headers, timeout=30)


def test_the_echo_servers_of_istios_task_answer(root: Path, envoy_binary: Path, tmp_path: Path) -> None:
    with served(root, tmp_path, "istio") as (url, text):
        assert text.splitlines()[1].startswith(
            "  Deployment inference-model-server/inference-model-server-deployment: 3 echo servers on 127.0."
        )
        answer = httpx.head(f"{url}/get")
        echoed = httpx.get(f"{url}/get").raise_for_status().json()

        assert (answer.status_code, answer.headers["server"]) == (200, "envoy")
        assert httpx.head(f"{url}/headers").status_code == 404
        assert (echoed["path"], echoed["namespace"]) == ("/get", "inference-model-server")
        assert echoed["pod"].startswith("inference-model-server-deployment-")


def test_the_simulators_of_the_article_serve_and_stand_in(root: Path, envoy_binary: Path, tmp_path: Path) -> None:
    with served(root, tmp_path, "article", DEPLOYMENTS) as (url, text):
        assert "Deployment default/vllm-qwen3-32b: 3 simulators of Qwen/Qwen3-32B on 127.0." in text
        assert "InferencePool default/vllm-pool-v1: 1 simulator of llama-3.1-8b-instruct-v1" in text
        own = {completion(url, "Qwen/Qwen3-32B").headers["x-inference-pod"] for _ in range(12)}
        adapter = completion(url, "food-review-1")
        split = {completion(url, "llama-3.1-8b-instruct-v1").headers["x-inference-pod"] for _ in range(100)}

        assert own <= {f"vllm-qwen3-32b-{index}" for index in range(3)}
        assert (adapter.status_code, adapter.json()["model"]) == (200, "food-review-1")
        assert split == {"vllm-pool-v1", "vllm-pool-v2"}


def test_the_workspaces_of_kaito_serve_their_presets(root: Path, envoy_binary: Path, tmp_path: Path) -> None:
    with served(root, tmp_path, "kaito") as (url, text):
        assert "Workspace default/workspace-phi-4-mini: 1 simulator of phi-4-mini-instruct on 127.0." in text
        for model in ("phi-4-mini-instruct", "mistral-7b-instruct"):
            answer = completion(url, model)
            assert (answer.status_code, answer.json()["model"]) == (200, model)


def test_the_backends_of_ai_gateway_are_stood_in_for_and_marked(root: Path, envoy_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a token\n")
    with served(root, tmp_path, "ai-gateway", options=("--operators-token-file", "token")) as (url, text):
        assert "AIServiceBackend default/my-ai-service-backend: 1 simulator of m on 127.0." in text
        port = text.partition("control plane")[2].split()[0]
        command = [str(root / ".venv/bin/pointsman"), "status", "--url", f"http://127.0.0.1:{port}"]
        own = {**os.environ, "POINTSMAN_TOKEN": "a token"}
        status = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=own)
        locked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        for target in ("yes", "no"):
            assert completion(url, "m", {"x-target-inference-extension": target}).status_code == 200
        assert "1 (1 simulated)" in status.stdout
        assert (locked.returncode, "give its token in POINTSMAN_TOKEN" in locked.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (None, [], "no such file or folder"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n", [], "no Gateway among these manifests"),
        ("containers: []\n", ["--json"], "a fragment with containers"),
        ("article", ["--backend", "http://a:1"], "leave one of them away"),
        ("article", ["--operators-token-file", "absent"], "--operators-token-file absent: No such file or directory"),
        ("article", ["--more", UNKNOWN], "which is neither vLLM nor a simulator"),
        (
            "article",
            ["--more", DEPLOYMENTS.replace("--max-loras", "--no-such-option")],
            "unknown option --no-such-option",
        ),
    ],
)
def test_manifests_that_cannot_be_run_are_one_line_and_status_two(
    root: Path, envoy_binary: Path, tmp_path: Path, text: str | None, options: list[str], words: str
) -> None:
    more = options.pop() if options[:1] == ["--more"] else ""
    given = tmp_path / "given.yaml"
    if text == "article":
        given.write_text(without_addresses(root / "tests/data/manifests/article") + more)
    elif text is not None:
        given.write_text(text)
    command = [str(root / ".venv/bin/pointsman"), "up", str(given), "--port-offset", str(free_offset())]
    result = subprocess.run(
        [*command, *(word for word in options if word != "--more")], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip

    assert (result.returncode, len(result.stderr.splitlines())) == (2, 2), result.stderr
    assert words in result.stderr
    assert "simulated here" not in result.stdout
    assert ("--json" in options) == result.stdout.startswith('{"problems": [')
