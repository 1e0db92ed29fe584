"""`make down`: stop the run of this checkout, from whichever terminal, also when its runner is long dead.

The runner is a process of its run like the others, so that ending the run ends it too.
"""

import sys
from pathlib import Path

from processes.sweep import sweep


def main() -> int:
    """End every process of the run."""
    ended = sweep(Path(__file__).resolve().parents[4] / ".run")
    print("stopped" if ended else "nothing was running")  # noqa: T201 - this is a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
