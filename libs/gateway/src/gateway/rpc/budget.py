"""What all connections of a process may keep of messages that are not complete. Pure.

Bytes are counted, with a limit; and streams that keep much do so one after the other, a few at a time. One that waits
for its turn has a closed window, so what it has still to send stays with its sender.
"""

from collections import deque
from typing import Protocol

from gateway.rpc.limits import LARGE_STREAMS, UNFINISHED_LIMIT_BYTES


class Waiting(Protocol):
    """A stream that wants a turn."""

    def take_turn(self) -> None:
        """It is this stream's turn."""


class Budget:
    """One per process."""

    __slots__ = ("_bytes", "_limit", "_turns", "_waiting", "_with_turn")

    def __init__(self, turns: int = LARGE_STREAMS, limit: int = UNFINISHED_LIMIT_BYTES) -> None:
        self._turns = turns
        self._limit = limit
        self._bytes = 0
        self._with_turn: set[Waiting] = set()
        self._waiting: deque[Waiting] = deque()

    @property
    def is_free(self) -> bool:
        """Nothing is kept and nobody waits."""
        return not (self._bytes or self._with_turn or self._waiting)

    def keep(self, more: int) -> bool:
        """Count so many bytes more, or fewer. Whether they are within the limit."""
        self._bytes += more
        return self._bytes <= self._limit

    def has_turn(self, stream: Waiting) -> bool:
        """Whether a stream may keep as much as it likes; it is told later if it may not now."""
        if stream in self._with_turn:
            return True
        if len(self._with_turn) < self._turns:
            self._with_turn.add(stream)
            return True
        if stream not in self._waiting:
            self._waiting.append(stream)
        return False

    def leave(self, stream: Waiting) -> None:
        """The stream keeps little again, or is over."""
        if stream not in self._with_turn:
            if stream in self._waiting:
                self._waiting.remove(stream)
            return
        self._with_turn.discard(stream)
        if self._waiting:
            following = self._waiting.popleft()
            self._with_turn.add(following)
            following.take_turn()
