"""Find and end the processes of one run, also when the runner that started them is dead.

Every process of a run, the runner included, has `RUN_VARIABLE` with the run's folder in its environment, and the kernel
shows it in /proc/PID/environ. So nothing is ended by its name, and an old process id can hit no other process.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

RUN_VARIABLE = "POINTSMAN_RUN"
GRACE_SECONDS = 10.0  # longer than honcho's five, so that honcho's kill comes first
_POLL_SECONDS = 0.1


def members(run: Path) -> frozenset[int]:
    """The live processes of this run, this one left out. A zombie has no environment and does not count."""
    marker = f"{RUN_VARIABLE}={run}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if marker in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return frozenset(found)


def sweep(run: Path, grace_seconds: float = GRACE_SECONDS) -> int:
    """End every process of the run, gently first; return how many there were."""
    found = members(run)
    _signal(found, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while members(run) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _signal(members(run), signal.SIGKILL)
    while members(run):
        time.sleep(_POLL_SECONDS)
    return len(found)


def _signal(processes: frozenset[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
