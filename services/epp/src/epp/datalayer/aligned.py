"""Records by slot, aligned with lists of slots. Pure.

A decision reads several columns over the same candidates, and over the narrower list that a filter left; the next one
starts with the same candidates again. So the answers for the last two lists are kept. Lists of slots are never changed
after they were made, and compared by identity.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

Record = TypeVar("Record")


class Aligned(Generic[Record]):
    """Call `forget` whenever a record is replaced."""

    __slots__ = ("_earlier", "_earlier_slots", "_recent", "_recent_slots", "_records")

    def __init__(self, records: Mapping[int, Record]) -> None:
        self._records = records
        self._recent_slots: Sequence[int] = ()
        self._earlier_slots: Sequence[int] = ()
        self._recent: Sequence[Record] = ()
        self._earlier: Sequence[Record] = ()

    def of(self, slots: Sequence[int]) -> Sequence[Record]:
        """One record for each slot."""
        if slots is self._recent_slots:
            return self._recent
        is_earlier = slots is self._earlier_slots
        found = self._earlier if is_earlier else [*map(self._records.__getitem__, slots)]
        self._earlier_slots, self._earlier = self._recent_slots, self._recent
        self._recent_slots, self._recent = slots, found
        return found

    def forget(self) -> None:
        """Keep nothing."""
        self._recent_slots = self._earlier_slots = ()
        self._recent = self._earlier = ()
