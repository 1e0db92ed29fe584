"""A strict reader of one object's fields: every wrong type, missing or unknown field becomes a `Problem`.

Pure. A reader never raises; it returns a harmless value and goes on, so that one run names all that is wrong.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from gateway.schema import spelling
from gateway.schema.documents import NO_TEXTS, Document, Problem, join, what

_DURATION: Final = re.compile(r"([0-9]{1,5}(h|ms|m|s)){1,4}")
_DURATION_PART: Final = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY: Final = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(slots=True)
class Findings:
    """What reading found: problems refuse the manifests; notes say what was accepted without effect."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


class Fields:
    """One mapping of a document and what went wrong in it. `done` reports the fields that nobody asked for."""

    def __init__(self, document: Document, body: Mapping[str, object], path: str, findings: Findings) -> None:
        self._document = document
        self._body = body
        self._path = path
        self._findings = findings
        self._known: set[str] = set()

    def problem(self, key: str, message: str) -> None:
        self._findings.problems.append(self._document.problem(join(self._path, key), message))

    def has(self, key: str) -> bool:
        self._known.add(key)
        return self._body.get(key) is not None

    def _read(self, key: str, kind: str, fits: Callable[[object], bool], *, required: bool) -> object:
        self._known.add(key)
        value = self._body.get(key)
        if value is None:
            if required:
                self.problem(key, "required")
            return None
        if not fits(value):
            self.problem(key, f"expected {kind}, got {what(value)}")
            return None
        return value

    def text(self, key: str, default: str = "", *, required: bool = False, longest: int = 4096) -> str:
        value = self._read(key, "a string", lambda found: isinstance(found, str), required=required)
        if not isinstance(value, str):
            return default
        if required and not value:
            self.problem(key, "may not be empty")
        if len(value) > longest:
            self.problem(key, f"longer than {longest} characters")
        return value

    def one_line(self, key: str, *, required: bool = False, longest: int = 4096) -> str:
        """Text that ends up in a header."""
        value = self.text(key, required=required, longest=longest)
        if not spelling.is_one_line(value):
            self.problem(key, f"may hold no line break or control character, got {what(value)}")
        return value

    def name(self, key: str, default: str = "", *, required: bool = False) -> str:
        """The name of an object or of a part of one."""
        value = self.text(key, default, required=required)
        if value and not spelling.is_name(value):
            self.problem(key, f"not a name: {what(value)}; lower-case letters, digits, '-' and '.' make one")
        return value

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        value = self.text(key, default)
        if value not in options:
            self.problem(key, f"expected one of {', '.join(options)}, got {what(value)}")
            return default
        return value

    def integer(
        self, key: str, low: int, high: int, default: int | None = None, *, required: bool = False
    ) -> int | None:
        value = self._read(
            key,
            "a whole number",
            lambda found: isinstance(found, int) and not isinstance(found, bool),
            required=required,
        )
        if not isinstance(value, int):
            return default
        if not low <= value <= high:
            self.problem(key, f"expected {low} to {high}, got {value}")
            return default
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool | None:
        value = self._read(key, "true or false", lambda found: isinstance(found, bool), required=False)
        return value if isinstance(value, bool) else default

    def duration(self, key: str) -> float | None:
        """Seconds of a Gateway API duration: `10s`, `1h30m`, `500ms`."""
        value = self.text(key)
        if not value:
            return None
        if not _DURATION.fullmatch(value):
            self.problem(key, f"expected a duration such as 10s or 1m30s, got {what(value)}")
            return None
        return sum(int(count) * _UNITS[unit] for count, unit in _DURATION_PART.findall(value))

    def child(self, key: str, *, required: bool = False) -> "Fields | None":
        value = self._read(key, "an object", lambda found: isinstance(found, Mapping), required=required)
        if not isinstance(value, Mapping):
            return None
        return Fields(self._document, value, join(self._path, key), self._findings)

    def children(self, key: str, most: int, *, least: int = 0) -> "tuple[Fields, ...]":
        return tuple(
            Fields(self._document, item, path, self._findings)
            for path, item in self._items(key, most, least)
            if self._fits(path, item, "an object", Mapping) and isinstance(item, Mapping)
        )

    def texts(self, key: str, most: int, *, least: int = 0) -> tuple[str, ...]:
        return tuple(
            item
            for path, item in self._items(key, most, least)
            if self._fits(path, item, "a string", str) and isinstance(item, str)
        )

    def labels(self, key: str, most: int, *, least: int = 0) -> Mapping[str, str]:
        """A map of label keys to label values, as a selector holds it."""
        value = self._read(key, "an object", lambda found: isinstance(found, Mapping), required=least > 0)
        if not isinstance(value, Mapping):
            return NO_TEXTS
        if not least <= len(value) <= most:
            self.problem(key, f"expected {least} to {most} entries, got {len(value)}")
        for name, item in value.items():
            if not _LABEL_KEY.fullmatch(name):
                self.problem(join(key, name), f"not a label key: {what(name)}")
            if not isinstance(item, str) or not _LABEL_VALUE.fullmatch(item):
                self.problem(join(key, name), f"expected a label value of at most 63 characters, got {what(item)}")
        return MappingProxyType({name: str(item) for name, item in value.items()})

    def strings(self, key: str) -> Mapping[str, str]:
        """A map of free text, as a ConfigMap's data."""
        value = self._read(key, "an object", lambda found: isinstance(found, Mapping), required=False)
        if not isinstance(value, Mapping):
            return NO_TEXTS
        for name, item in value.items():
            if not isinstance(item, str):
                self.problem(join(key, name), f"expected a string, got {what(item)}")
        return MappingProxyType({name: item for name, item in value.items() if isinstance(item, str)})

    def ignored(self, key: str, effect: str) -> None:
        """A field that the API knows and this project does not act on."""
        if self.has(key):
            self._findings.notes.append(self._document.problem(join(self._path, key), effect))

    def raw(self, key: str) -> object:
        self._known.add(key)
        return self._body.get(key)

    def done(self) -> None:
        """Call last: what was written and never asked for is a mistake, most often a misspelt name."""
        for key in self._body:
            if key in self._known:
                continue
            near = get_close_matches(key, sorted(self._known), n=1)
            self.problem(key, "unknown field" + (f"; did you mean {near[0]}?" if near else ""))

    def _items(self, key: str, most: int, least: int) -> Iterator[tuple[str, object]]:
        value = self._read(key, "a list", lambda found: isinstance(found, list), required=least > 0)
        if not isinstance(value, list):
            return
        if not least <= len(value) <= most:
            self.problem(key, f"expected {least} to {most} items, got {len(value)}")
        for index, item in enumerate(value):
            yield join(join(self._path, key), index), item

    def _fits(self, path: str, item: object, kind: str, expected: type) -> bool:
        if isinstance(item, expected):
            return True
        self._findings.problems.append(self._document.problem(path, f"expected {kind}, got {what(item)}"))
        return False
