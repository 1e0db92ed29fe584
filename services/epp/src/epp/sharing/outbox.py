"""Frames that wait to be shared, bounded. Pure.

When the stream is slow or gone, the oldest go first: what was learned last is worth most.
"""

from collections import deque

# A picker under full load makes a few thousand events a second of about a kilobyte: some seconds of outage.
EVENT_LIMIT = 10_000
BYTE_LIMIT = 16 * 1024 * 1024
# One message of the stream: large enough to batch, small enough not to hold up a reader.
MESSAGE_BYTES = 256 * 1024


class Outbox:
    """First in, first out; `put` says how many were dropped."""

    def __init__(self, events: int = EVENT_LIMIT, limit: int = BYTE_LIMIT) -> None:
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._events = events
        self._limit = limit

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: bytes) -> int:
        """Take a frame; the number of frames that had to go for it."""
        self._frames.append(frame)
        self._size += len(frame)
        return self._shrink()

    def put_back(self, frames: list[bytes]) -> int:
        """Return what `take` gave, to its old place; the number of frames that had to go."""
        self._frames.extendleft(reversed(frames))
        self._size += sum(map(len, frames))
        return self._shrink()

    def _shrink(self) -> int:
        dropped = 0
        while len(self._frames) > self._events or self._size > self._limit:
            self._size -= len(self._frames.popleft())
            dropped += 1
        return dropped

    def take(self, size: int = MESSAGE_BYTES) -> list[bytes]:
        """The next frames, at least one if there is any, of about `size` bytes together."""
        taken: list[bytes] = []
        total = 0
        while self._frames and (not taken or total + len(self._frames[0]) <= size):
            frame = self._frames.popleft()
            total += len(frame)
            taken.append(frame)
        self._size -= total
        return taken
