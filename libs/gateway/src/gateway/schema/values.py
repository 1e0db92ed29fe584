"""One located value: what was written, where, and typed readings of it. Pure.

A reading that does not fit reports a problem and returns None, so that one run names all that is wrong. `nothing`
(absent, `~` or `null`) fits no type; whether it is allowed, the caller decides first.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.schema import units
from gateway.schema.paths import join
from gateway.schema.problems import Findings, Origin, Place
from gateway.schema.wording import outside, unknown_field, what

MAX_INTEGER: Final = 2**63  # what the APIs' own integers hold


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a document."""

    data: object
    path: str
    origin: Origin
    findings: Findings

    @property
    def is_nothing(self) -> bool:
        return self.data is None

    @property
    def shown(self) -> str:
        """What it is, for messages."""
        return what(self.data)

    @property
    def place(self) -> Place:
        return self.origin.place(self.path)

    def problem(self, message: str) -> None:
        """Report what is wrong here."""
        self.findings.problems.append(self.origin.problem(self.path, message))

    def note(self, message: str) -> None:
        """Report what is accepted and will not do what it says."""
        self.findings.notes.append(self.origin.problem(self.path, message))

    def misfit(self, expected: str) -> None:
        """Report that something else was expected here."""
        self.problem(f"expected {expected}, got {self.shown}")

    def member(self, key: str) -> "Value":
        """A field of an object; nothing where there is none."""
        data = self.data.get(key) if isinstance(self.data, Mapping) else None
        return Value(data, join(self.path, key), self.origin, self.findings)

    def members(self) -> dict[str, "Value"]:
        """The fields of an object."""
        if self.data is None:
            return {}
        if not isinstance(self.data, Mapping):
            self.misfit("an object")
            return {}
        return {key: self.member(key) for key in self.data}

    def known_members(self, valid: Iterable[str]) -> dict[str, "Value"]:
        """The fields of an object; one that is not valid is a problem."""
        names = list(valid)
        found = self.members()
        for key in [key for key in found if key not in names]:
            found.pop(key).problem(unknown_field(key, names))
        return found

    def items(self) -> Iterator["Value"]:
        """The items of a list."""
        if self.data is None:
            return
        if not isinstance(self.data, list):
            self.misfit("a list")
            return
        for index, item in enumerate(self.data):
            yield Value(item, join(self.path, index), self.origin, self.findings)

    def text(self) -> str | None:
        if isinstance(self.data, str):
            return self.data
        self.misfit("a string")
        return None

    def boolean(self) -> bool | None:
        if isinstance(self.data, bool):
            return self.data
        self.misfit("true or false")
        return None

    def number(self, low: float | None = None, high: float | None = None) -> float | None:
        """A finite number within bounds."""
        return self._within("a number", _finite(self.data), low, high)

    def integer(self, low: int | None = None, high: int | None = None) -> int | None:
        """A whole number within bounds; `2.0` is one, too."""
        number = _finite(self.data)
        if isinstance(number, float):
            number = int(number) if number.is_integer() else None
        found = self._within("a whole number", number, low, high)
        return None if found is None else int(found)

    def duration(self) -> float | None:
        """Seconds of a Go duration."""
        return self._measured(units.DURATION, units.duration(self._notation()))

    def gateway_duration(self) -> float | None:
        """Seconds of a Gateway API duration."""
        text = self.text()
        return None if text is None else self._measured(units.DURATION, units.gateway_duration(text))

    def quantity(self) -> int | None:
        """A Kubernetes quantity as a whole number."""
        found = self._measured(units.QUANTITY, units.quantity(self._notation()))
        return None if found is None else int(found)

    def _notation(self) -> str:
        """Text, or a bare number as it would be written."""
        is_number = isinstance(self.data, int | float) and not isinstance(self.data, bool)
        return str(self.data) if isinstance(self.data, str) or (is_number and _finite(self.data) is not None) else ""

    def _measured(self, expected: str, found: float | None) -> float | None:
        if found is None:
            self.misfit(expected)
        return found

    def _within(self, expected: str, found: float | None, low: float | None, high: float | None) -> float | None:
        if found is None:
            self.misfit(expected)
            return None
        bounds = outside(found, low, high)
        if bounds is not None:
            self.misfit(bounds)
            return None
        return found


def _finite(data: object) -> int | float | None:
    """A number that arithmetic can be done with, else None."""
    if isinstance(data, bool) or not isinstance(data, int | float):
        return None
    if isinstance(data, int):
        return data if abs(data) < MAX_INTEGER else None
    return data if math.isfinite(data) else None
