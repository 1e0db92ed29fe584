"""A folder of manifests that goes with the command that wrote it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pointsman import lease

HOLDER = """
import sys, time
from pathlib import Path
from pointsman import lease
with lease.held(Path(sys.argv[1])) as folder:
    (folder / "a.yaml").write_text("a")
    print("held", flush=True)
    time.sleep(600)
"""


def content(run: Path) -> list[str]:
    return [file.name for file in lease.folder_of(run).iterdir()]


def test_what_was_written_stays_while_it_is_held_and_goes_with_its_holder(tmp_path: Path) -> None:
    lease.withdraw(tmp_path)
    with lease.held(tmp_path) as folder:
        (folder / "a.yaml").write_text("a")
        lease.withdraw(tmp_path)
        assert content(tmp_path) == ["a.yaml"]
        with pytest.raises(lease.HeldError), lease.held(tmp_path):
            pass
        assert content(tmp_path) == ["a.yaml"]

    assert content(tmp_path) == []


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    lease.withdraw(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        lease.withdraw(tmp_path)
        assert content(tmp_path) == ["a.yaml"]
        process.kill()

    lease.withdraw(tmp_path)

    assert content(tmp_path) == []
