"""Stops a run, from whichever terminal, also when its runner is long dead.

The runner comes first, since it lets answers in flight finish; what is left of the run is ended after it.
"""

import os
import signal
import time
from pathlib import Path

from processes.drain import DRAIN_SECONDS
from processes.sweep import GRACE_SECONDS, members, sweep

RUNNER_SECONDS = DRAIN_SECONDS + 2 * GRACE_SECONDS  # it drains, ends honcho, and sweeps


def stop(run: Path) -> bool:
    """End the runner, then every other process of the run; whether there was any."""
    return sum((_end_runner(run), sweep(run))) > 0


def runner_of(run: Path) -> int | None:
    """The process that runs it; None where there is none."""
    try:
        runner = int((run / "lock").read_text())
    except (OSError, ValueError):
        return None
    return runner if runner in members(run) else None  # else it is dead, and the number may be a stranger's


def _end_runner(run: Path) -> int:
    """Ask the runner to end, and wait; the number of runners there were."""
    runner = runner_of(run)
    if runner is None:
        return 0
    os.kill(runner, signal.SIGTERM)
    deadline = time.monotonic() + RUNNER_SECONDS
    while runner in members(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    return 1
