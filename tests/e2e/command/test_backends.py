"""`pointsman up --backend`: the model servers that a person has, served without a manifest."""

import json
import os
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx2 as httpx
import pytest

from processes.plan import HOST
from processes.sweep import members
from tests.conftest import free_ports
from tests.e2e.command.command import free_offset, running, simulator, simulators, url_in
from tests.e2e.stack import wait_until
from tests.e2e.test_requests import chat


@pytest.fixture
def pointsman(root: Path, envoy_binary: Path) -> str:
    """The command."""
    return str(root / ".venv/bin/pointsman")


def test_servers_are_served_by_their_models_and_one_that_was_down_joins(
    pointsman: str, root: Path, tmp_path: Path
) -> None:
    binaries, (late,) = root / ".venv/bin", free_ports(1)
    with simulators(binaries, "Qwen/Qwen3-32B", "microsoft/phi-4-mini-instruct") as (qwen, phi):
        backends = [word for port in (qwen, phi, late) for word in ("--backend", f"http://{HOST}:{port}")]
        command = [pointsman, "up", "--port-offset", str(free_offset()), "--dir", str(tmp_path / "run"), *backends]
        command += ["--record", str(tmp_path / "traffic.jsonl")]
        with running(command, tmp_path) as up:
            text = up.announced()
            url = url_in(text)
            assert f"waiting for http://{HOST}:{late}" in text
            for model in ("Qwen/Qwen3-32B", "microsoft/phi-4-mini-instruct"):
                answer = httpx.post(f"{url}/v1/chat/completions", json=chat(model), timeout=30)
                assert (answer.status_code, answer.json()["model"]) == (200, model)
            assert {model["id"] for model in httpx.get(f"{url}/v1/models", timeout=10).json()["data"]} == {
                "Qwen/Qwen3-32B", "microsoft/phi-4-mini-instruct",
            }  # fmt: skip

            with simulator(binaries, "Qwen/Qwen3-32B", late):
                wait_until(lambda: f"http://{HOST}:{late} answers" in up.errors, 30)
                slices = (tmp_path / "run" / "manifests" / "pool-qwen3-32b.yaml").read_text()
                assert f"port: {late}" in slices
    assert members(tmp_path / "run") == frozenset()
    recorded = [json.loads(line) for line in (tmp_path / "traffic.jsonl").read_text().splitlines()]
    assert {line["model"]: line["endpoint"] for line in recorded} == {
        "Qwen/Qwen3-32B": f"{HOST}:{qwen}", "microsoft/phi-4-mini-instruct": f"{HOST}:{phi}",
    }  # fmt: skip
    assert all(line["output_length"] > 0 and line["duration_ms"] > 0 for line in recorded)


class _Page(BaseHTTPRequestHandler):
    """A web server that is no model server; `/v1/models` of one on `/locked` wants a key."""

    def do_GET(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "body", "options", "words"),
    [
        (200, b"<html>", [], "no model list"),
        (401, b"{}", [], "--api-key-env"),
        (401, b"{}", ["--api-key-env", "KEY_OF_A_TEST"], "the key is not accepted"),
        (500, b"", [], "answers 500"),
    ],
)
def test_a_server_that_is_no_model_server_is_named_and_nothing_is_started(
    pointsman: str, tmp_path: Path, status: int, body: bytes, options: list[str], words: str
) -> None:
    with HTTPServer((HOST, 0), _Page) as server:
        server.answer = (status, body)  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{HOST}:{server.server_port}"
        result = subprocess.run(
            [pointsman, "up", "--backend", url, *options], cwd=tmp_path, capture_output=True, text=True, check=False,
            timeout=60, env=os.environ | {"KEY_OF_A_TEST": "wrong"},
        )  # fmt: skip
        server.shutdown()

    assert result.returncode == 2
    assert url in result.stderr
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert members(tmp_path / ".pointsman") == frozenset()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backend", "ftp://a"], "expected http://HOST:PORT"),
        (["--backend", "http://a:1", "--api-key-env", "NOT_SET_IN_ANY_TEST"], "that variable is not set"),
        (["--backend", "http://a:1", "--config-dir", "x"], "leave --config-dir away"),
        (["--backend", "http://a:1", "--envoy", "/nowhere/envoy"], "there is no such program"),
        (["--dir", "/proc/nowhere"], "name a folder with --dir that you may write to"),
        (["--record", "/proc/nowhere/traffic.jsonl"], "name a file that you may write to"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_one_line_and_status_two(
    pointsman: str, tmp_path: Path, options: list[str], words: str
) -> None:
    result = subprocess.run(
        [pointsman, "up", *options], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert (result.returncode, len(result.stderr.splitlines())) == (2, 2)
    assert words in result.stderr


def test_a_server_without_tls_is_named_with_what_helps(pointsman: str, tmp_path: Path) -> None:
    with HTTPServer((HOST, 0), _Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        command = [pointsman, "up", "--backend", f"https://{HOST}:{server.server_port}"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        server.shutdown()

    assert (result.returncode, len(result.stderr.splitlines())) == (2, 2)
    assert "TLS failed" in result.stderr
    assert "give http://" in result.stderr
