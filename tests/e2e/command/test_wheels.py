"""The wheels in an empty environment, without the repository: a model server that exists is served, and what it
served is replayed by the lab."""

import os
import subprocess
from pathlib import Path

import httpx2 as httpx

from tests.e2e.command.command import free_offset, running, simulators, url_in
from tests.e2e.test_requests import chat


def test_installed_wheels_serve_a_model_server_and_the_lab_replays_what_was_served(root: Path, tmp_path: Path) -> None:
    subprocess.run(["make", "wheels"], cwd=root, check=True, capture_output=True)
    uv, venv = str(root / ".tools/bin/uv"), tmp_path / "venv"
    wheels = [str(wheel) for wheel in sorted((root / "build/wheels").glob("*.whl"))]
    subprocess.run([uv, "venv", "--quiet", str(venv)], check=True)
    constraints = ["--constraint", str(root / "requirements/dev.txt")]  # the versions that were tested
    install = [uv, "pip", "install", "--quiet", "--python", str(venv), *constraints, *wheels]
    subprocess.run(install, check=True)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}  # Envoy is installed anew, too
    binaries = venv / "bin"

    with simulators(binaries, "Qwen/Qwen3-32B") as (port,):
        command = [str(binaries / "pointsman"), "up", "--port-offset", str(free_offset()), "--record", "traffic.jsonl"]
        with running([*command, "--backend", f"http://127.0.0.1:{port}"], tmp_path, environment) as up:
            url = url_in(up.announced())
            for _ in range(5):
                answer = httpx.post(f"{url}/v1/chat/completions", json=chat("Qwen/Qwen3-32B"), timeout=30)
                assert answer.status_code == 200
    lab = [str(binaries / "pointsman"), "lab", "traffic.jsonl", "--servers", "2", "--seeds", "2"]
    answered = subprocess.run(lab, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)

    assert (tmp_path / "cache" / "pointsman").is_dir()
    assert "recording trace: 5 requests" in answered.stdout
    assert "hit ratio of default against least-request" in answered.stdout
    assert "<svg" in (tmp_path / "lab.html").read_text()
