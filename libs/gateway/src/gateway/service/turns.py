"""Large messages on the loop: one is handled at a time, and everything else has as much time after each."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.service import lifecycle

LONGEST_PAUSE_SECONDS: Final = 0.1


class LargeTurns:
    """Has one large message handled at a time, and leaves as much time to everything else after each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def add(self, job: Callable[[], None]) -> None:
        """Do this when its turn has come."""
        self._jobs.append(job)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        if not self._jobs:
            self._is_scheduled = False
            return
        began = self._loop.time()
        try:
            with lifecycle.without_collector():
                self._jobs.popleft()()
        finally:  # one that fails stops none of the others
            self._loop.call_later(min(self._loop.time() - began, LONGEST_PAUSE_SECONDS), self._next)
