"""Work in a worker thread rests now and then, so that the loop gets the interpreter back within milliseconds. Shell."""

import asyncio
import threading
import time
from typing import Final

from gateway.service import clock

WORK_SECONDS: Final = 0.001  # of a worker thread between two rests; a fifth of the interpreter's own switch interval
REST_SECONDS: Final = 0.00005  # long enough for a waiting thread to wake


class Rest:
    """Called between pieces of work of a thread: gives the interpreter away now and then, and ends the thread."""

    def __init__(self) -> None:
        self._since = clock.monotonic()
        self._ended = threading.Event()

    def __call__(self) -> None:
        if clock.monotonic() - self._since < WORK_SECONDS:
            return
        if self._ended.is_set():
            raise asyncio.CancelledError
        time.sleep(REST_SECONDS)
        self._since = clock.monotonic()

    def end(self) -> None:
        """Nobody waits for the work any more."""
        self._ended.set()
