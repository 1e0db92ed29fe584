"""A service as several processes: how they start, are asked, and end, however their supervisor ends."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_ports, is_free

SECONDS = 60.0


@dataclass
class Router:
    """`bbr --workers 2` with what it writes."""

    process: "subprocess.Popen[bytes]"
    port: int
    operators: int
    log: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operators}{path}", timeout=10) as response:
            return response.read().decode()

    def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("/debug"))["workers"]
        return found

    def are_ready(self) -> bool:
        try:
            return all(each["is_ready"] for each in self.workers())
        except OSError:
            return False


def until(claim: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not claim():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def started(tmp_path: Path, *more: str) -> Router:
    while True:
        grpc, health, operators = free_ports(3)
        if is_free(grpc + 100):
            break
    log = tmp_path / "log"
    words = [
        "run",
        "--host",
        "127.0.0.1",
        "--grpc-port",
        grpc,
        "--grpc-health-port",
        health,
        "--metrics-port",
        operators,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bbr", *map(str, words), "--workers", "2", *more], stdout=output, stderr=output
        )
    return Router(process, grpc, operators, log)


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    found = started(tmp_path)
    until(found.are_ready, found.log)
    yield found
    found.process.kill()
    found.process.wait()


def test_each_worker_has_its_port_and_one_address_speaks_for_all(router: Router) -> None:
    assert not is_free(router.port)
    assert not is_free(router.port + 100)
    assert router.get("/readyz") == "ready\n"
    assert 'pointsman_worker_ready{worker="1"} 1.0' in router.get("/metrics")
    assert json.loads(router.get("/debug?worker=1"))["grpc_transport"]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        router.get("/no-such-page")


def test_one_that_is_killed_is_started_again(router: Router) -> None:
    victim = router.workers()[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    until(lambda: router.workers()[0]["pid"] not in (None, victim) and router.are_ready(), router.log)

    assert [each["restarts"] for each in router.workers()] == [1, 0]


def test_all_drain_when_the_supervisor_is_asked_to_stop(router: Router) -> None:
    pids = [each["pid"] for each in router.workers()]
    router.process.send_signal(signal.SIGTERM)

    assert router.process.wait(SECONDS) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_no_worker_outlives_its_supervisor(router: Router) -> None:
    router.process.kill()
    router.process.wait()

    until(lambda: is_free(router.port) and is_free(router.port + 100), router.log)


def test_a_mistake_of_the_command_line_ends_all_with_its_reason(tmp_path: Path) -> None:
    found = started(tmp_path, "--keys-file", str(tmp_path / "none"))

    assert found.process.wait(SECONDS) == 1
    assert str(tmp_path / "none") in found.log.read_text()
    assert "bbr: a worker ended before any was ready" in found.log.read_text()
