"""Fields of one JSON object of a trace, read strictly. Pure."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from lab.traces.trace import TOKENS_LIMIT

_TIME_LIMIT = 1e13  # milliseconds: three centuries


class FieldError(ValueError):
    """A field that is missing or wrong; it names the field."""


def tokens(record: Mapping[str, Any], name: str) -> int:
    """A number of tokens."""
    return checked_tokens(_required(record, name), name)


def checked_tokens(value: object, name: str) -> int:
    """The value as a number of tokens."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_LIMIT:
        raise FieldError(f"{name}: expected 0 to {TOKENS_LIMIT} tokens, got {shown(value)}")
    return value


def milliseconds(record: Mapping[str, Any], name: str) -> float:
    """A time in milliseconds, as seconds."""
    return _number(_required(record, name), name) / 1000


def seconds(record: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A time in seconds; required where there is no default."""
    if default is not None and record.get(name) is None:
        return default
    return _number(_required(record, name), name)


def integers(record: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """A list of whole numbers; empty where there is none."""
    value = record.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise FieldError(f"{name}: expected a list of whole numbers, got {shown(value)}")
    return tuple(value)


def word(record: Mapping[str, Any], name: str) -> str | None:
    """A text; None where there is none."""
    value = record.get(name)
    if value is None or isinstance(value, str):
        return value
    raise FieldError(f"{name}: expected a text, got {shown(value)}")


def items(record: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """A list of objects."""
    value = _required(record, name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise FieldError(f"{name}: expected a list of objects, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """A value in a message, however long it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _required(record: Mapping[str, Any], name: str) -> object:
    value: object = record.get(name)
    if value is None:
        raise FieldError(f"{name}: required")
    return value


def _number(value: object, name: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not isfinite(number := float(value)) or not 0 <= number <= _TIME_LIMIT:  # type: ignore[arg-type]
        raise FieldError(f"{name}: expected a time, got {shown(value)}")
    return number
