"""Rules of quotas, and which of them decide about a request. Pure.

A rule is for the requests that meet all its conditions. Of rules that compete, one that is for part of another's
requests takes that one's place there: the most specific wins. Rules of which neither is for part of the other's
requests all apply. An enforced rule never gives way to one in shadow mode: trying a rule out lifts no limit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from gateway.quotas.usage import PLAIN, Weights
from gateway.quotas.windows import Window

ANY: Final = "*"
LONGEST_VALUE: Final = 128  # characters of a value in a key; a longer one is hashed
MOST_RULES: Final = 5000
"""Of all objects together: an index finds those of a request, and memory is what bounds them."""

Subject = Mapping[str, str]  # what is known of a request, by attribute


MOST_COMBINATIONS: Final = 10_000
"""Of rules that matched together, for which it is remembered which of them decide: some MB."""


class Measure(StrEnum):
    TOKENS = "tokens"
    REQUESTS = "requests"


class Condition(NamedTuple):
    """A value of an attribute. ANY: each value has a counter of its own, and requests without one share another."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` in each window. `key` is what its counters are known by. Rules of one `rivalry` compete."""

    name: str
    key: str
    conditions: tuple[Condition, ...]
    measure: Measure
    limit: int
    window: Window
    rivalry: str
    weights: Weights = PLAIN
    is_shadow: bool = False

    def matches(self, subject: Subject) -> bool:
        """Whether a request meets all conditions."""
        get = subject.get
        return all(value in (ANY, get(attribute)) for attribute, value in self.conditions)

    def counter(self, subject: Subject) -> str:
        """The key of the counter of a request that matches."""
        found = [subject.get(attribute, "") for attribute, value in self.conditions if value == ANY]
        return "|".join((self.key, *map(_short, found))) if found else self.key

    def narrows(self, other: "Rule") -> bool:
        """Whether it is for part of another rule's requests, or for the same ones."""
        own = dict(self.conditions)
        return all(attribute in own and value in (ANY, own[attribute]) for attribute, value in other.conditions)


class Overlap(NamedTuple):
    """`winner` takes the place of `loser`, for all of its requests or for some."""

    winner: Rule
    loser: Rule
    is_whole: bool


class RuleSet:
    """Of rules for the same requests in one rivalry, the first counts alone."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules: Sequence[Rule] = tuple(rules)[:MOST_RULES]
        self._open: list[tuple[int, Rule]] = []  # with no condition on a certain value
        self._deciding: dict[tuple[int, ...], Sequence[Rule]] = {}  # of rules that matched together
        self._by_value: dict[Condition, list[tuple[int, Rule]]] = {}
        counted = repr([(rule.key, rule.weights) for rule in self.rules if rule.measure is Measure.TOKENS])
        self.fingerprint = blake2b(counted.encode(), digest_size=8).hexdigest()  # of how tokens are counted
        for at, rule in enumerate(self.rules):
            certain = next((each for each in rule.conditions if each.value != ANY), None)
            (self._open if certain is None else self._by_value.setdefault(certain, [])).append((at, rule))

    @property
    def attributes(self) -> frozenset[str]:
        """What must be known of a request."""
        return frozenset(condition.attribute for rule in self.rules for condition in rule.conditions)

    def deciding(self, subject: Subject) -> Sequence[Rule]:
        """The rules that apply to a request, in order."""
        found = list(self._open)
        for item in subject.items():
            found += self._by_value.get(Condition(*item), ())
        matching = [item for item in found if item[1].matches(subject)]
        if len(matching) < 2:
            return [rule for _, rule in matching]
        places = tuple(sorted([place for place, _ in matching]))
        known = self._deciding.get(places)
        if known is None:
            known = _kept([self.rules[place] for place in places])
            if len(self._deciding) < MOST_COMBINATIONS:
                self._deciding[places] = known
        return known

    def overlaps(self) -> Iterator[Overlap]:
        """Every pair of which one takes the other's place."""
        rivals: dict[tuple[str, bool], list[Rule]] = {}
        for rule in self.rules:
            rivals.setdefault((rule.rivalry, rule.is_shadow), []).append(rule)
        for group in rivals.values():
            for rule in group:
                for other in group:
                    if rule is not other and _beats(other, rule, group):
                        yield Overlap(other, rule, rule.narrows(other))


def _kept(matching: Sequence[Rule]) -> Sequence[Rule]:
    kept = [rule for rule in matching if not any(_beats(other, rule, matching) for other in matching)]
    return [*{rule.key: rule for rule in reversed(kept)}.values()][::-1]


def _beats(winner: Rule, loser: Rule, ordered: Sequence[Rule]) -> bool:
    if winner.rivalry != loser.rivalry or winner.is_shadow != loser.is_shadow or winner.key == loser.key:
        return False
    if not winner.narrows(loser):
        return False
    return not loser.narrows(winner) or ordered.index(winner) < ordered.index(loser)


def _short(value: str) -> str:
    if len(value) <= LONGEST_VALUE and "|" not in value:
        return value
    return "#" + blake2b(value.encode(errors="replace"), digest_size=16).hexdigest()
