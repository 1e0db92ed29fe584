"""The wheels in an empty environment, without the repository: model servers that exist are served, the page is there, a
decision is explained, and the lab replays what was served."""

import json
import os
import subprocess
from pathlib import Path

import httpx2 as httpx

from processes.plan import Ports
from tests.e2e.command.command import free_offset, running, simulators, url_in
from tests.e2e.test_requests import chat


def test_installed_wheels_serve_model_servers_explain_a_decision_and_replay_what_was_served(
    root: Path, tmp_path: Path
) -> None:
    subprocess.run(["make", "wheels"], cwd=root, check=True, capture_output=True)
    uv, venv = str(root / ".tools/bin/uv"), tmp_path / "venv"
    wheels = [str(wheel) for wheel in sorted((root / "build/wheels").glob("*.whl"))]
    subprocess.run([uv, "venv", "--quiet", str(venv)], check=True)
    constraints = ["--constraint", str(root / "requirements/dev.txt")]  # the versions that were tested
    install = [uv, "pip", "install", "--quiet", "--python", str(venv), *constraints, *wheels]
    subprocess.run(install, check=True)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}  # Envoy is installed anew, too
    binaries = venv / "bin"

    pointsman, offset = str(binaries / "pointsman"), free_offset()
    with simulators(binaries, "Qwen/Qwen3-32B", "Qwen/Qwen3-32B") as ports:
        backends = [word for port in ports for word in ("--backend", f"http://127.0.0.1:{port}")]
        command = [pointsman, "up", "--port-offset", str(offset), "--record", "traffic.jsonl", *backends]
        with running(command, tmp_path, environment) as up:
            url = url_in(up.announced())
            for _ in range(5):
                answer = httpx.post(f"{url}/v1/chat/completions", json=chat("Qwen/Qwen3-32B"), timeout=30)
                assert answer.status_code == 200
            page = httpx.get(f"http://127.0.0.1:{Ports().moved(offset).epp_metrics}/", timeout=30)
            explain = [pointsman, "explain", answer.headers["x-request-id"], "--port-offset", str(offset)]
            explained = subprocess.run(explain, env=environment, check=True, capture_output=True, text=True)

    assert page.headers["content-type"].startswith("text/html")
    assert all(f"127.0.0.1:{port}" in explained.stdout for port in ports)
    assert json.loads(explained.stdout)["model"] == "Qwen/Qwen3-32B"
    lab = [pointsman, "lab", "traffic.jsonl", "--servers", "2", "--seeds", "2"]
    answered = subprocess.run(lab, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)

    assert (tmp_path / "cache" / "pointsman").is_dir()
    assert "recording trace: 5 requests" in answered.stdout
    assert "hit ratio of default against least-request" in answered.stdout
    assert "<svg" in (tmp_path / "lab.html").read_text()
