"""A strict reader of one object's fields: every wrong type, missing or unknown field becomes a problem. Pure.

A reader never raises; it returns a harmless value and goes on, so that one run names all that is wrong.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gateway.schema import spelling
from gateway.schema.paths import join
from gateway.schema.values import Value
from gateway.schema.wording import unknown_field, what

NO_TEXTS: Final[Mapping[str, str]] = MappingProxyType({})
LONGEST_TEXT: Final = 4096  # characters; more than any field of the APIs holds

_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY: Final = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class Fields:
    """The fields of one object. `done` reports those that were written and never read."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._body: Mapping[str, object] = value.data if isinstance(value.data, Mapping) else {}
        self._known: set[str] = set()

    def problem(self, key: str, message: str) -> None:
        self.at(key).problem(message)

    def has(self, key: str) -> bool:
        self._known.add(key)
        return self._body.get(key) is not None

    def keys(self) -> frozenset[str]:
        """The names of the fields that were written."""
        return frozenset(key for key, item in self._body.items() if item is not None)

    def value(self, key: str, *, required: bool = False) -> Value | None:
        """A field that was written; None for nothing."""
        self._known.add(key)
        if self._body.get(key) is not None:
            return self._value.member(key)
        if required:
            self.problem(key, "required")
        return None

    def text(self, key: str, default: str = "", *, required: bool = False, longest: int = LONGEST_TEXT) -> str:
        usual = self._body.get(key)
        if type(usual) is str and 0 < len(usual) <= longest:  # without a Value for each of a million fields
            self._known.add(key)
            return usual
        written = self.value(key, required=required)
        found = written.text() if written is not None else None
        if found is None:
            return default
        if required and not found:
            self.problem(key, "may not be empty")
        if len(found) > longest:
            self.problem(key, f"longer than {longest} characters")
        return found

    def one_line(self, key: str, *, required: bool = False, longest: int = LONGEST_TEXT) -> str:
        """Text that ends up in a header."""
        found = self.text(key, required=required, longest=longest)
        if not spelling.is_one_line(found):
            self.problem(key, f"may hold no line break or control character, got {what(found)}")
        return found

    def name(self, key: str, default: str = "", *, required: bool = False) -> str:
        """The name of an object or of a part of one."""
        found = self.text(key, default, required=required)
        if found and not spelling.is_name(found):
            self.problem(key, f"not a name: {what(found)}; lower-case letters, digits, '-' and '.' make one")
        return found

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        found = self.text(key, default)
        if found not in options:
            self.problem(key, f"expected one of {', '.join(options)}, got {what(found)}")
            return default
        return found

    def integer(
        self, key: str, low: int, high: int, default: int | None = None, *, required: bool = False
    ) -> int | None:
        written = self.value(key, required=required)
        found = written.integer(low, high) if written is not None else None
        return default if found is None else found

    def boolean(self, key: str, *, default: bool) -> bool:
        written = self.value(key)
        found = written.boolean() if written is not None else None
        return default if found is None else found

    def duration(self, key: str) -> float | None:
        """Seconds of a Gateway API duration: `10s`, `1h30m`, `500ms`."""
        written = self.value(key)
        return written.gateway_duration() if written is not None and written.data != "" else None

    def child(self, key: str, *, required: bool = False) -> "Fields | None":
        written = self.value(key, required=required)
        return None if written is None else fields_of(written)

    def children(self, key: str, most: int, *, least: int = 0) -> "tuple[Fields, ...]":
        made = (fields_of(item) for item in self._items(key, most, least))
        return tuple(child for child in made if child is not None)

    def items(self, key: str) -> Sequence[Value]:
        """The items of a list of any length."""
        written = self.value(key)
        return () if written is None else tuple(written.items())

    def texts(self, key: str, most: int, *, least: int = 0) -> tuple[str, ...]:
        found = (item.text() for item in self._items(key, most, least))
        return tuple(text for text in found if text is not None)

    def labels(self, key: str, most: int, *, least: int = 0) -> Mapping[str, str]:
        """A map of label keys to label values, as a selector holds it."""
        written = self._mapping(key, required=least > 0)
        if written is None:
            return NO_TEXTS
        if not least <= len(written) <= most:
            self.problem(key, f"expected {least} to {most} entries, got {len(written)}")
        for name, item in written.items():
            if not _LABEL_KEY.fullmatch(name):
                self.problem(join(key, name), f"not a label key: {what(name)}")
            if not isinstance(item, str) or not _LABEL_VALUE.fullmatch(item):
                self.problem(join(key, name), f"expected a label value of at most 63 characters, got {what(item)}")
        return MappingProxyType({name: str(item) for name, item in written.items()})

    def strings(self, key: str) -> Mapping[str, str]:
        """A map of free text, as a ConfigMap's data or an object's annotations."""
        written = self._mapping(key)
        if written is None:
            return NO_TEXTS
        for name, item in written.items():
            if not isinstance(item, str):
                self.problem(join(key, name), f"expected a string, got {what(item)}")
        return MappingProxyType({name: item for name, item in written.items() if isinstance(item, str)})

    def ignored(self, key: str, effect: str) -> None:
        """A field that the API knows and this project does not act on."""
        if self.has(key):
            self.at(key).note(effect)

    def raw(self, key: str) -> object:
        self._known.add(key)
        return self._body.get(key)

    def known(self, *keys: str) -> None:
        """Fields that are valid and read elsewhere, or not at all."""
        self._known.update(keys)

    def done(self) -> None:
        """Call last: a field that was written and never read is a mistake, most often a misspelt name."""
        for key in self._body:
            if key not in self._known:
                self.problem(key, unknown_field(key, self._known))

    def at(self, key: str) -> Value:
        """The place of a field, whether it was written or not."""
        return Value(None, join(self._value.path, key), self._value.origin, self._value.findings)

    def _mapping(self, key: str, *, required: bool = False) -> Mapping[str, object] | None:
        written = self.value(key, required=required)
        if written is None:
            return None
        if isinstance(written.data, Mapping):
            return written.data
        written.misfit("an object")
        return None

    def _items(self, key: str, most: int, least: int) -> Iterator[Value]:
        written = self.value(key, required=least > 0)
        if written is None:
            return iter(())
        if isinstance(written.data, list) and not least <= len(written.data) <= most:
            written.problem(f"expected {least} to {most} items, got {len(written.data)}")
        return written.items()


def fields_of(value: Value) -> Fields | None:
    """The fields of a value that must be an object."""
    if isinstance(value.data, Mapping):
        return Fields(value)
    value.misfit("an object")
    return None
