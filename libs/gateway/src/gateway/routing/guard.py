"""The guard: requests that match a deny-list, are too large, or that a classifier finds harmful, are refused. Pure.

It protects against what an operator wrote down, no more: patterns are a fence, no judgement. Every text that a model
may read is looked at, also in tool results, where injected prompts come from. In shadow mode it counts and lets pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from gateway.routing.patterns import Patterns
from gateway.routing.plugin import NOTHING, Note, Outcome
from gateway.routing.request import RoutedRequest
from gateway.wire import refusals

CHARACTERS_PER_TOKEN: Final = 4  # as the picker estimates
SIZE, TOKENS, CLASSIFIER = "size", "tokens", "classifier"


class Classifier(Protocol):
    """Judges a text in this process, in microseconds: it runs on the loop. Declared as an entry point."""

    def harm(self, text: str) -> float:
        """0 harmless to 1 harmful."""


class DenyRule(NamedTuple):
    """A pattern under a name of the operator's choice, which is all that a client learns of it."""

    name: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Guard:
    """`largest_body` in bytes, `most_tokens` estimated; 0 is no limit."""

    rules: tuple[DenyRule, ...] = ()
    largest_body: int = 0
    most_tokens: int = 0
    is_shadow: bool = False
    classifier: Classifier | None = None
    threshold: float = 0.5
    patterns: Patterns = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", Patterns([rule.pattern for rule in self.rules]))

    @property
    def sets(self) -> tuple[str, ...]:
        """None."""
        return ()

    def act(self, request: RoutedRequest) -> Outcome:
        """The first thing that is found decides."""
        failures: list[Note] = []
        reason = next(self._reasons(request, failures), None)
        if reason is None:
            return Outcome(notes=tuple(failures)) if failures else NOTHING
        if self.is_shadow:
            return Outcome(notes=(*failures, Note("guard", (reason, "shadow"))))
        notes = (*failures, Note("guard", (reason, "refused")))
        return Outcome(rejection=refusals.refused_by_guard(reason), notes=notes)

    @property
    def needs_whole_body(self) -> bool:
        """A body of which only the start is known cannot be let pass."""
        return not self.is_shadow

    def _reasons(self, request: RoutedRequest, failures: list[Note]) -> Iterator[str]:
        judges = self.classifier is not None
        if self.largest_body and len(request.body) > self.largest_body:
            yield SIZE
        characters = 0
        for text in request.texts():
            characters += len(text)
            if self.most_tokens and characters > self.most_tokens * CHARACTERS_PER_TOKEN:
                yield TOKENS
            found = self.patterns.first(text)
            if found is not None:
                yield self.rules[found].name
            if judges and (harm := self._harm(text)) is None:
                judges = False
                failures.append(Note("guard", (CLASSIFIER, "failed")))
            elif judges and harm is not None and harm >= self.threshold:
                yield CLASSIFIER

    def _harm(self, text: str) -> float | None:
        """None where the classifier raised: the patterns judge alone then."""
        if self.classifier is None:
            return None
        try:
            return float(self.classifier.harm(text))
        except Exception:  # noqa: BLE001 - a classifier of the user's own may raise anything
            return None
