"""Regular expressions in linear time: RE2, so that no text and no pattern can make a search explode. Pure."""

from collections.abc import Sequence

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # a bad pattern is reported by who reads it


class PatternError(ValueError):
    """A pattern that RE2 does not take."""


class Patterns:
    """Several patterns, searched for at once."""

    __slots__ = ("_set", "texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._set = re2.Set.SearchSet(_OPTIONS)
        for text in texts:
            try:
                re2.compile(text, _OPTIONS)
                self._set.Add(text)
            except re2.error as error:
                reason = error.args[0] if error.args else ""
                words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
                raise PatternError(f"not a regular expression of RE2: {text!r}: {words}") from None
        if texts:
            self._set.Compile()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patterns) and other.texts == self.texts

    def __hash__(self) -> int:
        return hash(self.texts)

    def first(self, text: str) -> int | None:
        """The position of the first of the patterns that a text has."""
        if not self.texts:
            return None
        found = self._set.Match(text)
        return min(found) if found else None
