"""Semantic routing: rules over the request, then the nearest example, give a class that routes match on. Pure.

The first rule whose conditions all hold decides. Where none does and there are examples, the last turn of the user is
embedded, and the class of the most similar example counts if it is similar enough. Whatever cannot answer in time
leaves the default class, so a slow embedder costs no request.
"""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.routing.patterns import Patterns
from gateway.routing.plugin import Ask, Note, Outcome, Vector
from gateway.routing.request import Features, RoutedRequest

RULE, EXAMPLE, DEFAULT = "rule", "example", "default"
# How much of a turn says what it is about: embedders read no more than a few hundred tokens anyway.
EMBEDDED_CHARACTERS: Final = 2000
# Letters looked at to tell the script of a text.
SCRIPT_LETTERS: Final = 200


@dataclass(frozen=True, slots=True)
class ClassRule:
    """All that is given must hold. Lengths are in characters of all texts."""

    name: str
    patterns: Patterns = field(default_factory=lambda: Patterns(()))
    system_patterns: Patterns = field(default_factory=lambda: Patterns(()))
    scripts: frozenset[str] = frozenset()
    has_tools: bool | None = None
    has_media: bool | None = None
    shortest: int = 0
    longest: int = 0

    def holds(self, found: Features) -> bool:
        """Cheap conditions first."""
        return (
            self.has_tools in (None, found.has_tools)
            and self.has_media in (None, found.has_media)
            and self.shortest <= found.characters <= (self.longest or found.characters)
            and (not self.scripts or script_of(found.last) in self.scripts)
            and (not self.patterns.texts or self.patterns.first(found.last) is not None)
            and (not self.system_patterns.texts or any(self.system_patterns.first(text) is not None
                                                       for text in found.system))
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts by class. One whose embedding is not known yet matches nothing."""

    texts: tuple[tuple[str, str], ...] = ()  # class, text
    least_similarity: float = 0.5

    def nearest(self, vector: Vector, vectors: Mapping[str, Vector]) -> str | None:
        """The class of the most similar text, if it is similar enough."""
        best, name = self.least_similarity, None
        for class_, text in self.texts:
            known = vectors.get(text)
            if known is not None and (found := similarity(vector, known)) >= best:
                best, name = found, class_
        return name


@dataclass(frozen=True, slots=True)
class Classes:
    """The header says the class of every request with a JSON object as its body."""

    header: str
    default: str
    rules: tuple[ClassRule, ...] = ()
    examples: Examples = field(default_factory=Examples)

    @property
    def sets(self) -> tuple[str, ...]:
        """The one header."""
        return (self.header,)

    def act(self, request: RoutedRequest) -> Outcome | Ask:
        """Rules first: they cost nothing."""
        found = request.features()
        rule = next((rule for rule in self.rules if rule.holds(found)), None)
        if rule is not None:
            return self._outcome(rule.name, RULE)
        text = found.last[:EMBEDDED_CHARACTERS].strip()
        if not text or not self.examples.texts:
            return self._outcome(self.default, DEFAULT)
        return Ask(text, partial(self._answered, request.vectors))

    def _answered(self, vectors: Mapping[str, Vector], vector: Vector | None) -> Outcome:
        name = None if vector is None else self.examples.nearest(vector, vectors)
        return self._outcome(self.default, DEFAULT) if name is None else self._outcome(name, EXAMPLE)

    def _outcome(self, name: str, by: str) -> Outcome:
        return Outcome(((self.header, name),), notes=(Note("class", (name, by)),))


def similarity(one: Vector, other: Vector) -> float:
    """The cosine; -1 for vectors that cannot be compared."""
    if len(one) != len(other):
        return -1.0
    lengths = math.sqrt(math.fsum(x * x for x in one)) * math.sqrt(math.fsum(x * x for x in other))
    return math.fsum(x * y for x, y in zip(one, other, strict=True)) / lengths if lengths else -1.0


def script_of(text: str) -> str:
    """The script of most letters, in Unicode's words: latin, cyrillic, cjk, arabic, …; empty without letters."""
    counts: dict[str, int] = {}
    letters = (letter for letter in text if letter.isalpha())
    for letter, _ in zip(letters, range(SCRIPT_LETTERS), strict=False):
        script = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0].lower()
        counts[script] = counts.get(script, 0) + 1
    return max(counts, key=lambda name: counts[name], default="")
