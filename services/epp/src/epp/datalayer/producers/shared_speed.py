"""What replicas measure of one endpoint's speed, together. Pure.

Each run says what it measured so far; its latest word replaces those before it, so words may come in any order. What a
run measured stays good when it is gone.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import isfinite
from typing import Final

from epp.datalayer.producers.line import NO_SUMS, Sums
from epp.domain import RunId, Stamp

# Runs whose measurements count: as many replicas as anybody has, and what restarted ones left.
RUNS_LIMIT: Final = 16
LINES: Final = 3  # of `SpeedEstimator`
# No sum of measured seconds and tokens comes near it.
_SUM_LIMIT: Final = 1e18


class MeasuredElsewhere:
    """One endpoint. Folds words in any order, each any number of times."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words: OrderedDict[RunId, tuple[Stamp, tuple[Sums, ...]]] = OrderedDict()

    def take(self, run: RunId, stamp: Stamp, lines: Sequence[Sequence[float]]) -> bool:
        """A run's word; whether it says something new. One that no picker can have made is ignored."""
        known = self._words.get(run)
        if not _is_possible(lines) or (known is not None and known[0] >= stamp):
            return False
        self._words[run] = (stamp, tuple(Sums(*line) for line in lines))
        self._words.move_to_end(run)
        if len(self._words) > RUNS_LIMIT:
            self._words.popitem(last=False)
        return True

    def words(self) -> Sequence[tuple[RunId, Stamp, tuple[Sums, ...]]]:
        """Of all runs."""
        return [(run, stamp, lines) for run, (stamp, lines) in self._words.items()]

    def together(self) -> tuple[Sums, ...]:
        """The sums of all, in an order that does not depend on how they came."""
        words = [lines for _, (_, lines) in sorted(self._words.items())]
        return tuple(Sums(*map(sum, zip(NO_SUMS, *column, strict=True))) for column in zip(*words, strict=True))


def _is_possible(lines: Sequence[Sequence[float]]) -> bool:
    return len(lines) == LINES and all(
        len(line) == len(NO_SUMS) and all(isfinite(each) and 0 <= each < _SUM_LIMIT for each in line) for line in lines
    )
