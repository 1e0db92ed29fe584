"""Whether a stack runs in a folder, and what it serves."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from pointsman.compare.stack import NoStackError, RunningStack, running_stack
from pointsman.run import STACK_FILE, serve
from processes import runner
from processes.plan import Layout, Ports, Settings
from processes.preflight import StartError
from processes.sweep import RUN_VARIABLE


def leave(run: Path, *, process: int) -> None:
    """What a run has in its folder, also when it is over."""
    log = run / "access.log"
    log.touch()
    (run / STACK_FILE).write_text(json.dumps({"manifests": ["/m"], "access_log": str(log)}))
    (run / "lock").write_text(str(process))


def test_what_a_run_that_is_over_left_is_no_stack(tmp_path: Path) -> None:
    leave(tmp_path, process=os.getpid())

    with pytest.raises(NoStackError, match="start one with `pointsman up`"):
        running_stack(tmp_path)


def test_a_run_whose_process_lives_is_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print(flush=True); input()"]
    environment = os.environ | {RUN_VARIABLE: str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            leave(tmp_path, process=process.pid)

            assert running_stack(tmp_path) == RunningStack((Path("/m"),), tmp_path / "access.log")
        finally:
            process.kill()


def test_a_second_run_in_the_folder_leaves_what_the_first_serves(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path, tmp_path / "envoy", tmp_path)
    settings = Settings(Ports(), layout, (tmp_path / "other",), tmp_path / "epp.yaml")
    given = Namespace(json=False, stop_hint=None, dir=None, port_offset=0)
    with runner.exclusive(tmp_path):
        (tmp_path / STACK_FILE).write_text("first")
        with pytest.raises(StartError, match="already running"):
            serve(given, settings, "up")

    assert (tmp_path / STACK_FILE).read_text() == "first"
