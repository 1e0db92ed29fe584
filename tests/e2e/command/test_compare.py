"""`pointsman compare` on a running stack: both halves are measured, and the route is as before, however it ends."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx2 as httpx
import pytest

from tests.e2e.command.command import free_offset, running, url_in
from tests.e2e.stack import wait_until
from tests.e2e.test_requests import chat

MODELS = ("Qwen/Qwen3-32B", "phi-4-mini-instruct")


class Demo:
    """The demo of `pointsman up`, its folder, and traffic."""

    def __init__(self, url: str, run: Path, command: list[str]) -> None:
        self.url = url
        self.run = run
        self.command = command
        self.statuses: set[int] = set()
        self.stopping = Event()

    def clients(self, model: str) -> None:
        """Asks one question after the other, with a beginning that all have."""
        number = 0
        while not self.stopping.is_set():
            body = chat(model, f"{'hello ' * 300}{(number := number + 1)}", max_tokens=2)
            self.statuses.add(httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=30).status_code)

    def split(self) -> list[str]:
        return [file.name for file in (self.run / "lease").iterdir()]

    def twins(self) -> int:
        """How many requests went by round robin."""
        return (self.run / "access.log").read_text().count("-round-robin")


@pytest.fixture(scope="module")
def demo(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("compare")
    program, which = str(root / ".venv/bin/pointsman"), ["--dir", str(folder / "run")]
    with running([program, "up", "--port-offset", str(free_offset()), *which], folder) as up:
        found = Demo(url_in(up.announced()), folder / "run", [program, "compare", "--route", "llm-route", *which])
        with ThreadPoolExecutor(2) as threads:
            clients = [threads.submit(found.clients, model) for model in MODELS]
            try:
                yield found
            finally:
                found.stopping.set()
        for each in clients:
            each.result()


def test_both_halves_are_measured_and_the_route_is_as_before(demo: Demo) -> None:
    done = subprocess.run(
        [*demo.command, "--json", "--for", "8"], capture_output=True, text=True, check=True, timeout=120
    )

    *_, last = map(json.loads, done.stdout.splitlines())
    assert last["ended"]
    for half in (last["round_robin"], last["picker"]):
        assert half["requests"] > 0 == half["errors"]
        assert half["ttft_p50"] > 0
        assert 0 < half["hit_ratio"] <= 1
    assert len(last["round_robin"]["servers"]) == 5
    assert demo.split() == []
    asks_the_picker_alone(demo)
    assert demo.statuses == {200}


def test_a_second_one_is_refused_and_a_killed_one_leaves_no_split(demo: Demo) -> None:
    before = demo.twins()
    with subprocess.Popen(demo.command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: demo.twins() > before, 60)
            second = subprocess.run(demo.command, capture_output=True, text=True, check=False, timeout=60)
        finally:
            process.kill()

    assert second.returncode == 2
    assert "another `pointsman compare` runs" in second.stderr
    wait_until(lambda: demo.split() == [], 20)
    asks_the_picker_alone(demo)
    assert demo.statuses == {200}


def asks_the_picker_alone(demo: Demo) -> None:
    """From some moment on."""

    def none_by_round_robin() -> bool:
        log = demo.run / "access.log"
        at = log.stat().st_size
        wait_until(lambda: log.stat().st_size > at + 20_000, 30)
        return b"-round-robin" not in log.read_bytes()[at:]

    wait_until(none_by_round_robin, 60)


def test_without_a_stack_one_line_says_what_to_do(root: Path, tmp_path: Path) -> None:
    command = [str(root / ".venv/bin/pointsman"), "compare", "--route", "r", "--dir", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    assert "start one with `pointsman up`" in done.stderr
