"""The commands that look at a running stack, by its URLs."""

import json
import os
import pty
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.conftest import free_ports
from tests.e2e.stack import Stack
from tests.e2e.test_requests import chat


@pytest.fixture
def picker(ext_proc_stack: Stack) -> str:
    return f"http://{HOST}:{ext_proc_stack.settings.ports.epp_metrics}"


def pointsman(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [str(root / ".venv/bin/pointsman"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_top_prints_pools_and_endpoints_where_there_is_no_terminal(root: Path, picker: str) -> None:
    done = pointsman(root, "top", "--url", picker)

    assert (done.returncode, done.stderr) == (0, "")
    assert "default/vllm-qwen3-32b: " in done.stdout
    assert "\x1b" not in done.stdout


def test_top_follows_on_a_terminal_and_gives_the_screen_back(root: Path, picker: str) -> None:
    own, terminal = pty.openpty()
    command = [str(root / ".venv/bin/pointsman"), "top", "--url", picker, "--interval", "0.2"]
    # A test run in the background would hand on that it ignores interrupts.
    interruptible = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, preexec_fn=interruptible
    ) as process:
        os.close(terminal)
        shown, deadline = b"", time.monotonic() + 60
        while shown.count(b"\x1b[H") < 3 and time.monotonic() < deadline:
            shown += os.read(own, 65536)
        process.send_signal(signal.SIGINT)
        while b"\x1b[?1049l" not in shown and time.monotonic() < deadline:
            shown += os.read(own, 65536)
        assert process.wait(60) == 0
    os.close(own)

    assert shown.count(b"default/vllm-qwen3-32b: ") >= 2
    assert b"\x1b[32m" in shown


def test_each_command_has_json_for_programs(root: Path, ext_proc_stack: Stack, picker: str) -> None:
    answer = httpx.post(f"{ext_proc_stack.url}/v1/chat/completions", json=chat("Qwen/Qwen3-32B"), timeout=30)
    status_url = f"http://{HOST}:{ext_proc_stack.settings.ports.controlplane_http}"

    pools = json.loads(pointsman(root, "top", "--json", "--url", picker).stdout)["pools"]
    status = json.loads(pointsman(root, "status", "--json", "--url", status_url).stdout)
    found = json.loads(pointsman(root, "explain", "--json", answer.headers["x-request-id"], "--url", picker).stdout)

    assert {pool["pool"] for pool in pools} == {"default/vllm-qwen3-32b", "default/phi-4-mini"}
    assert {pool["name"] for pool in status["pools"]} == {"vllm-qwen3-32b", "phi-4-mini"}
    assert found["model"] == "Qwen/Qwen3-32B"


def test_commands_about_manifests_have_json_too(root: Path, tmp_path: Path) -> None:
    demo = str(root / "config" / "demo")
    (tmp_path / "bad.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: nonsense}\n")

    checked = pointsman(root, "check", str(tmp_path), "--json")
    rendered = pointsman(root, "render", demo, "--output-dir", str(tmp_path / "xds"), "--json")
    differences = pointsman(root, "diff", demo, demo, "--json")
    stopped = pointsman(root, "down", "--dir", str(tmp_path / "none"), "--json")

    (problem,) = json.loads(checked.stdout)["problems"]
    assert (checked.returncode, problem["field"]) == (1, "spec.ports")
    assert (rendered.returncode, json.loads(rendered.stdout)["problems"]) == (0, [])
    assert (differences.returncode, json.loads(differences.stdout)) == (0, {"differences": []})
    assert json.loads(stopped.stdout) == {"stopped": False}


@pytest.mark.parametrize("command", ["top", "status"])
def test_a_url_where_nobody_answers_is_one_line_and_status_two(root: Path, command: str) -> None:
    (port,) = free_ports(1)

    done = pointsman(root, command, "--url", f"http://{HOST}:{port}")

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "does not answer" in done.stderr


def test_a_url_of_something_else_is_named(root: Path, ext_proc_stack: Stack) -> None:
    done = pointsman(root, "top", "--url", ext_proc_stack.url)

    assert done.returncode == 2
    assert "is it the operators' port of that service?" in done.stderr


def test_all_servers_of_a_pool_get_an_adapter_and_lose_it_again(
    root: Path, ext_proc_stack: Stack, picker: str, tmp_path: Path
) -> None:
    file, ports = tmp_path / "adapters.json", ext_proc_stack.settings.ports.simulators[:3]
    sync = ("adapters", "sync", "--config", str(file), "--pool", "vllm-qwen3-32b", "--url", picker, "--once")

    for key in ("ensureExist", "ensureNotExist"):
        file.write_text(json.dumps({"vLLMLoRAConfig": {key: {"models": [{"id": "tone", "source": "/tone"}]}}}))
        done = pointsman(root, *sync)
        assert done.returncode == 0, done.stderr
        for port in ports:
            models = httpx.get(f"http://{HOST}:{port}/v1/models").json()["data"]
            assert ("tone" in {model["id"] for model in models}) == (key == "ensureExist")


def test_a_pool_that_is_unknown_is_named_with_those_that_are_known(root: Path, picker: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("vLLMLoRAConfig: {}")

    done = pointsman(root, "adapters", "sync", "--config", str(tmp_path / "a.yaml"), "--pool", "x", "--url", picker)

    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no such pool; the picker knows default/phi-4-mini, default/vllm-qwen3-32b" in done.stderr
