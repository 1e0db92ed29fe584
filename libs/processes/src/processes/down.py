"""`make down`: stop the run of this checkout, from whichever terminal, also when its runner is long dead."""

import contextlib
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from processes.sweep import sweep

WAIT_SECONDS = 30.0


def main() -> int:
    """Ask the runner to end, then end whatever is left of the run."""
    run = Path(__file__).resolve().parents[4] / ".run"
    asked = _ask_runner(run / "lock")
    left = sweep(run)
    print("stopped" if asked or left else "nothing was running")  # noqa: T201 - this is a command
    return 0


def _ask_runner(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("r+") as held:
        if _free(held.fileno()):
            return False
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(held.read()), signal.SIGTERM)
        deadline = time.monotonic() + WAIT_SECONDS
        while not _free(held.fileno()) and time.monotonic() < deadline:
            time.sleep(0.1)
    return True


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


if __name__ == "__main__":
    sys.exit(main())
