"""Items by a key, the smallest first, from which any may leave at any time. Pure."""

from heapq import heapify, heappop, heappush
from typing import Final

from epp.flowcontrol.items import Item

Key = tuple[float, ...]  # equally many for all items of a heap
# A heap with this many entries of items that left, and more than half of all, is built anew.
_DEAD_LIMIT: Final = 64


class ItemHeap:
    """Items that left stay in the heap until they come up or are swept. Ties are broken by arrival."""

    __slots__ = ("_entries", "_live")

    def __init__(self) -> None:
        self._entries: list[tuple[Key, int, Item]] = []
        self._live: set[int] = set()

    def __len__(self) -> int:
        return len(self._live)

    def push(self, key: Key, item: Item) -> None:
        """Take an item; its key never changes."""
        self._live.add(item.id)
        heappush(self._entries, (key, item.id, item))

    def head(self) -> Item:
        """The item with the smallest key. Called only while there is one."""
        while self._entries[0][1] not in self._live:
            heappop(self._entries)
        return self._entries[0][2]

    def discard(self, item: Item) -> None:
        """Let an item go; one that is not here is ignored."""
        self._live.discard(item.id)
        dead = len(self._entries) - len(self._live)
        if dead > _DEAD_LIMIT and dead > len(self._live):
            self._entries = [entry for entry in self._entries if entry[1] in self._live]
            heapify(self._entries)
