"""Which words become labels. Pure.

What exists, because a server lists it or an object names it, always has series of its own. What clients invent shares a
budget for each kind, so that a flood of invented names costs no real one its series. When a budget is used up, those
that were used least recently leave at the next renewal, and others get their places.
"""

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from typing import Final

# Words of one kind that clients may invent. The series of a model take some 20 KB of the exposition.
LABEL_LIMIT: Final = 20
# Models, adapters or objectives that exist; more than that no dashboard shows.
EXISTING_LIMIT: Final = 2000
# A fairness id may be any header; what is longer than a name, or cannot be printed, is no label.
WORD_LIMIT: Final = 256
OTHER: Final = "other"

NO_WORDS: Final[AbstractSet[str]] = frozenset()


class Bounded:
    """Lets existing words through, and others within the budget if they are names; calls the rest `other`."""

    def __init__(self, limit: int = LABEL_LIMIT) -> None:
        self._limit = limit
        self._existing: AbstractSet[str] = NO_WORDS
        self._invented: OrderedDict[str, None] = OrderedDict()  # least recently used first

    def __call__(self, word: str) -> str:
        if not word or word in self._existing:
            return word
        if word in self._invented:
            self._invented.move_to_end(word)
            return word
        if len(self._invented) >= self._limit or len(word) > WORD_LIMIT or not word.isprintable():
            return OTHER
        self._invented[word] = None
        return word

    def exist(self, words: AbstractSet[str]) -> AbstractSet[str]:
        """These exist now, and no others; those that left for good are given back."""
        names = {word for word in words if len(word) <= WORD_LIMIT and word.isprintable()}
        present = names if len(names) <= EXISTING_LIMIT else frozenset(sorted(names)[:EXISTING_LIMIT])
        gone, self._existing = self._existing - present, present
        for word in present & self._invented.keys():
            del self._invented[word]
        return gone

    def renew(self) -> AbstractSet[str]:
        """Make room where the budget is used up: the half that was used least recently leaves."""
        if len(self._invented) < self._limit:
            return NO_WORDS
        return {self._invented.popitem(last=False)[0] for _ in range((self._limit + 1) // 2)}
