"""Whose turn it is: so many connections proceed in one round of the loop, the others in the next ones.

In a crowd, picks would otherwise starve what else lives on the loop: the access log that releases them, scrapes,
health checks. Large bodies are received a few at a time and read one at a time, with as much time for everything else
after each.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.rpc.budget import Budget
from gateway.service.turns import LargeTurns

# So many connections proceed in one round of the loop: about two milliseconds of picking.
TURNS = 16


class Turns:
    """Turns are counted until they run out, and only then is a round of the loop waited for: a lone connection pays for
    none."""

    __slots__ = ("_is_scheduled", "_large", "_loop", "_taken", "_waiting", "bodies")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._taken = 0  # turns since the last round that was waited for
        self._is_scheduled = False
        self._large = LargeTurns(loop)
        self.bodies = Budget()  # who may receive a large one

    def add_large(self, proceed: Callable[[], None]) -> None:
        """Have `proceed`, which reads a large body, called when its turn comes. Do not ask twice."""
        self._large.add(proceed)

    def take(self, proceed: Callable[[], None]) -> bool:
        """Whether the caller may go on now; otherwise `proceed` is called when its turn comes. Do not ask twice."""
        if self._taken < TURNS:
            self._taken += 1
            return True
        self._waiting.append(proceed)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._next_round)
        return False

    def _next_round(self) -> None:
        self._taken = min(len(self._waiting), TURNS)
        try:
            for _ in range(self._taken):
                self._waiting.popleft()()
        finally:  # one that fails stops none of the others
            self._is_scheduled = bool(self._waiting)
            if self._is_scheduled:
                self._loop.call_soon(self._next_round)
