"""What was learned and unlearned of late at each endpoint, so that changes may come in any order. Pure, bounded.

Whether an endpoint holds a block follows from the last change that names it. Learnings do not contradict each other:
they are made as they come. Only where an unlearning is among the later ones those are made again.
"""

from collections import deque
from typing import Final, NamedTuple

from epp.domain import Stamp

# For each endpoint: seconds of a busy replica's requests, which is longer than any event is under way.
CHANGES_LIMIT: Final = 256
# Of them all, blocks: some 0.6 MB where nobody else keeps them.
BLOCKS_LIMIT: Final = 16_384


class Change(NamedTuple):
    """Blocks of a prompt that are held from now on, or no longer from number `start` on."""

    stamp: Stamp
    blocks: tuple[int, ...]
    start: int | None = None

    @property
    def order(self) -> tuple[Stamp, bool]:
        """Of two that know nothing of each other the learning counts."""
        return self.stamp, self.start is None


class PrefixHistory:
    """Changes by slot."""

    def __init__(self) -> None:
        self._slots: dict[int, SlotHistory] = {}

    def add(self, slot: int, change: Change) -> list[Change]:
        """Take a change; what is to be made now, in this order."""
        known = self._slots.get(slot)
        if known is None:
            known = self._slots[slot] = SlotHistory()
        return known.add(change)

    def forget(self, slot: int) -> None:
        """The endpoint's cache is another one."""
        self._slots.pop(slot, None)


class SlotHistory:
    """One endpoint's, in the order of their coming."""

    __slots__ = ("_blocks", "_changes", "_unlearnings")

    def __init__(self) -> None:
        self._changes: deque[Change] = deque()
        self._blocks = 0
        self._unlearnings = 0

    def add(self, change: Change) -> list[Change]:
        """See `PrefixHistory`."""
        later = self._later(change) if self._unlearnings or change.start is not None else []
        self._changes.append(change)
        self._blocks += len(change.blocks)
        self._unlearnings += change.start is not None
        while len(self._changes) > CHANGES_LIMIT or self._blocks > BLOCKS_LIMIT:
            gone = self._changes.popleft()
            self._blocks -= len(gone.blocks)
            self._unlearnings -= gone.start is not None
        return [change, *later]

    def _later(self, change: Change) -> list[Change]:
        return sorted((each for each in self._changes if each.order > change.order), key=_order)


def _order(change: Change) -> tuple[Stamp, bool]:
    return change.order
