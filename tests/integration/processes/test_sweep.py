"""Ending what a run left behind, found by what each process inherited."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from processes.preflight import busy_ports
from processes.sweep import RUN_VARIABLE, members, sweep
from tests.conftest import free_ports

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)",
]


def start(command: list[str], run: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, env=os.environ | {RUN_VARIABLE: str(run)}, stdout=subprocess.PIPE)


def test_it_ends_the_processes_of_its_run_and_no_others(tmp_path: Path) -> None:
    mine, other = start(SLEEPER, tmp_path / "mine"), start(SLEEPER, tmp_path / "other")
    try:
        assert members(tmp_path / "mine") == {mine.pid}

        assert sweep(tmp_path / "mine") == 1

        assert mine.wait(10) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        for each in (mine, other):
            each.kill()
            each.communicate()


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    deaf = start(DEAF, tmp_path)
    assert deaf.stdout is not None
    deaf.stdout.readline()  # it ignores SIGTERM from here on

    sweep(tmp_path, grace_seconds=0.2)

    assert deaf.wait(10) == -signal.SIGKILL
    deaf.communicate()


def test_a_run_without_processes_is_swept_at_once(tmp_path: Path) -> None:
    assert sweep(tmp_path) == 0


def test_a_port_that_somebody_listens_on_is_named(tmp_path: Path) -> None:
    free = free_ports(1)[0]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        reasons = list(busy_ports({"gateway": port, "other": free}))

    assert len(reasons) == 1
    assert reasons[0].startswith(f"port {port} (gateway) is not free")
