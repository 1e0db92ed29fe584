"""Results of pure functions, kept while their inputs stay as they are: an edit costs what it changes. Pure otherwise.

Each result has a place of its own and is kept with the inputs that it came from. Inputs are immutable and compared by
value; what an edit left alone is mostly the same object, so the comparison is quick. A result never depends on what is
kept, only its price does.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Inputs = TypeVarTuple("Inputs")


@dataclass(frozen=True, slots=True)
class _Kept:
    inputs: tuple[object, ...]
    result: Any


class Memo:
    """Holds one result for each place that the latest round used, hence never more than one configuration."""

    def __init__(self) -> None:
        self._before: dict[Hashable, _Kept] = {}
        self._now: dict[Hashable, _Kept] = {}

    def begin(self) -> None:
        """Begin a round: what the last one did not use is forgotten."""
        self._before, self._now = self._now, {}

    def result(self, place: Hashable, function: Callable[[*Inputs], T], *inputs: *Inputs) -> T:
        """The function's result for these inputs; the one kept for this place where they are the same."""
        kept = self._before.get(place)
        if kept is None or kept.inputs != inputs:
            kept = _Kept(inputs, function(*inputs))
        self._now[place] = kept
        found: T = kept.result
        return found
