"""Whether a stack runs in a folder, and what it serves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman.command_line import arguments
from pointsman.compare.stack import NoStackError, RunningStack, running_stack
from pointsman.run import STACK_FILE
from pointsman.up import up
from processes import runner
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


@pytest.mark.parametrize("words", [[], ["--port-offset", "100"], ["--config-dir", "config/demo"]])
def test_a_second_run_in_the_folder_changes_nothing_of_the_first(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))
    with runner.exclusive(tmp_path):
        before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
        with pytest.raises(StartError, match="already running"):
            up(arguments(["up", "--dir", str(tmp_path), *words]), ())

        assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
