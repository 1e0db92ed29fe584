"""What a request is told of its quotas: whether it may pass, how much is left, and from when on. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.quotas.counters import Counts, used
from gateway.quotas.rules import Measure, Rule
from gateway.quotas.usage import Reserved

# No client waits longer for a window that never has room.
LONGEST_WAIT: Final = 366 * 86_400.0


class Standing(NamedTuple):
    """How far one rule is used up. `reset` is in seconds: until all of the limit is there; `wait`: until some is."""

    rule: Rule
    used: int
    reset: float
    wait: float

    @property
    def remaining(self) -> int:
        return max(0, self.rule.limit - self.used)

    @property
    def is_exhausted(self) -> bool:
        return self.used >= self.rule.limit


class Verdict(NamedTuple):
    """`refused_by` is None for a request that may pass. Without standings no rule applies, or nothing is known."""

    standings: Sequence[Standing] = ()
    refused_by: Standing | None = None
    is_known: bool = True
    reserved: Reserved | None = None


ADMITTED: Final = Verdict()
UNKNOWN: Final = Verdict(is_known=False)


def standing(rule: Rule, counts: Counts, now: float) -> Standing:
    """What a rule's counts mean at a moment."""
    reset = rule.window.end(counts[-1][0]) - now if counts else 0.0
    return Standing(rule, used(counts), max(0.0, reset), _wait(rule, counts, now))


def judged(standings: Sequence[Standing]) -> Verdict:
    """All enforced rules must have room; the one to wait longest for is named."""
    exhausted = [each for each in standings if each.is_exhausted and not each.rule.is_shadow]
    return Verdict(standings, max(exhausted, key=lambda each: each.wait, default=None))


def limits(standings: Iterable[Standing]) -> Mapping[Measure, Standing]:
    """Of each measure the rule that has the least left; clients are shown no other."""
    found: dict[Measure, Standing] = {}
    for each in standings:
        known = found.get(each.rule.measure)
        if not each.rule.is_shadow and (known is None or each.remaining < known.remaining):
            found[each.rule.measure] = each
    return found


def whole_seconds(seconds: float) -> int:
    """Never too early."""
    return max(1, math.ceil(seconds))


def _wait(rule: Rule, counts: Counts, now: float) -> float:
    left = used(counts)
    for slot, count in counts:
        if left < rule.limit:
            break
        left -= count
        if left < rule.limit:
            return max(0.0, rule.window.end(slot) - now)
    if left < rule.limit:
        return 0.0
    return LONGEST_WAIT if rule.window.seconds is None else rule.window.seconds  # a limit of 0 never has room
