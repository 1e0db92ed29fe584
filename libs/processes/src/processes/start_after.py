"""Starts a program once another one answers, or after a bound: `python -m processes.start_after SECONDS URL PROGRAM…`.

Envoy serves from its first moment on, and until a picker answers the requests of pools that fail open would pass it by.
So it starts after the picker; a picker that never comes costs the bound, and no more. The program takes this one's
place, and gets its signals.
"""

import os
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Final

POLL_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 1.0  # for one answer


def await_answer(answers: Callable[[], bool], seconds: float) -> bool:
    """Wait until it answers, for so long at most; whether it does."""
    deadline = time.monotonic() + seconds
    while not (found := answers()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return found


def is_answered(url: str) -> bool:
    """Whether there is a 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as response:  # noqa: S310 - a URL of the plan
            return bool(response.status == 200)
    except OSError:
        return False


def main(arguments: Sequence[str]) -> None:
    """Wait, then become the program."""
    seconds, url, *program = arguments
    await_answer(lambda: is_answered(url), float(seconds))
    os.execv(program[0], program)  # noqa: S606 - the plan's command line


if __name__ == "__main__":
    main(sys.argv[1:])
