"""Events that wait to be shared, bounded. Pure.

When the journal is slow or gone, the oldest go first: what was learned last is worth most.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from epp.domain import PrefixLearned, PrefixUnlearned, SharedEvent

Item = TypeVar("Item")

# A picker under full load makes a few thousand events a second of about a kilobyte: some seconds of outage.
EVENT_LIMIT = 10_000
BYTE_LIMIT = 16 * 1024 * 1024
# One message of the stream: large enough to batch, small enough not to hold up a reader.
MESSAGE_BYTES = 256 * 1024
# A frame without blocks, about.
_FRAME_BYTES: Final = 128
_BLOCK_BYTES: Final = 8


def event_size(event: SharedEvent) -> int:
    """Bytes of an event, about."""
    if isinstance(event, PrefixLearned | PrefixUnlearned):
        return _FRAME_BYTES + _BLOCK_BYTES * len(event.blocks)
    return _FRAME_BYTES


class Outbox(Generic[Item]):
    """First in, first out; `put` says how many were dropped. `size_of` gives an item's bytes, about."""

    def __init__(self, events: int = EVENT_LIMIT, limit: int = BYTE_LIMIT, size_of: Callable[[Any], int] = len) -> None:
        self._items: deque[Item] = deque()
        self._size_of = size_of
        self._size = 0
        self._events = events
        self._limit = limit

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> int:
        """Take an item; the number of items that had to go for it."""
        self._items.append(item)
        self._size += self._size_of(item)
        return self._shrink()

    def put_back(self, items: list[Item]) -> int:
        """Return what `take` gave, to its old place; the number of items that had to go."""
        self._items.extendleft(reversed(items))
        self._size += sum(map(self._size_of, items))
        return self._shrink()

    def _shrink(self) -> int:
        dropped = 0
        while len(self._items) > self._events or self._size > self._limit:
            self._size -= self._size_of(self._items.popleft())
            dropped += 1
        return dropped

    def take(self, size: int = MESSAGE_BYTES) -> list[Item]:
        """The next items, at least one if there is any, of about `size` bytes together."""
        taken: list[Item] = []
        total = 0
        while self._items and (not taken or total + self._size_of(self._items[0]) <= size):
            item = self._items.popleft()
            total += self._size_of(item)
            taken.append(item)
        self._size -= total
        return taken
