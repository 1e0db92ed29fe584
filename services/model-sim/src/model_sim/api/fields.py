"""Typed reading of JSON objects: the value, or a 400 that names the field and what it holds.

As in vLLM, unknown fields are ignored, null counts as absent, and numbers and switches may be written as text
(pydantic's lax mode). A body that breaks the schema is a "Bad Request" whose
`param` is the place below `body`; a value out of range is a "BadRequestError" whose `param` is the name.
"""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import orjson

from model_sim.api.errors import ApiError

Body = Mapping[str, Any]
SHOWN_CHARACTERS = 60
"""An error quotes no more than this of a client's value."""
MAX_INTEGER = 2**63 - 1
"""The engine's counters and vLLM's are 64-bit."""
MAX_DIGITS = 64
"""Text longer than this is no number that a request needs, and long ones are slow to convert."""
_TRUE = frozenset(("true", "1", "on", "t", "y", "yes"))
_FALSE = frozenset(("false", "0", "off", "f", "n", "no"))
_INTEGER = re.compile(r"\s*([+-]?[0-9]+(?:_[0-9]+)*)(?:\.0+)?\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?[0-9._]+(?:e[+-]?[0-9]+)?\s*", re.ASCII | re.IGNORECASE)


def parse_object(raw: bytes) -> Body:
    """The request body as a JSON object."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        details = {"msg": "JSON decode error", "input": {}, "ctx": {"error": error.msg}}
        raise invalid({"type": "json_invalid", "loc": ("body", error.pos), **details}, f"body.{error.pos}") from None
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise invalid({"type": "model_attributes_type", "loc": ("body",), "msg": message, "input": shown(body)})
    return body


def invalid(reason: object, param: str = "body") -> ApiError:
    """A body against the schema. The reason is a dictionary where vLLM's is known to the letter, else a text."""
    return ApiError(f"1 validation error:\n  {reason}", param=param, kind="Bad Request")


def shown(value: object) -> str:
    """A value as an error may quote it: containers by their size, which may be megabytes or a thousand levels."""
    if isinstance(value, list | dict):
        return f"<{type(value).__name__} of {len(value)} items>"
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return repr(value[:SHOWN_CHARACTERS]) + "…"
    return repr(value)


def wrong(name: str, expected: str, value: object) -> ApiError:
    place = name.replace("[", ".").replace("]", "")
    return invalid(f"{name}: expected {expected}, got {shown(value)}", f"body.{place}")


def required(body: Body, name: str) -> Any:
    value = body.get(name)
    if value is None:
        reason = {"type": "missing", "loc": ("body", name), "msg": "Field required", "input": shown(body)}
        raise invalid(reason, f"body.{name}")
    return value


def text(body: Body, name: str) -> str | None:
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong(name, "a string", value)


def flag(body: Body, name: str, *, default: bool = False) -> bool:
    """A switch: true or false, 1 or 0, or one of the words for them."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else value
    if word in (0, 1) or (isinstance(word, str) and word in _TRUE | _FALSE):
        return word == 1 or word in _TRUE
    raise wrong(name, "true or false", value)


def integer(body: Body, name: str, *, minimum: int | None = None, maximum: int | None = None) -> int | None:
    """A whole number, or text that is one."""
    given = body.get(name)
    if given is None:
        return None
    value = _whole(given)
    if value is None or abs(value) > MAX_INTEGER:
        raise wrong(name, "an integer", given)
    if minimum is not None and value < minimum:
        raise ApiError(f"{name} must be at least {minimum}, got {value}.", param=name)
    if maximum is not None and value > maximum:
        raise ApiError(f"{name} must be at most {maximum}, got {value}.", param=name)
    return value


def _whole(value: object) -> int | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    matched = _INTEGER.fullmatch(value) if isinstance(value, str) and len(value) <= MAX_DIGITS else None
    return None if matched is None else int(matched[1])


def number(body: Body, name: str, *, minimum: float | None = None, maximum: float | None = None) -> float | None:
    """A number, or text that is one."""
    given = body.get(name)
    if given is None:
        return None
    value = _real(given)
    if value is None or not isfinite(value):
        raise wrong(name, "a number", given)
    if minimum is not None and value < minimum:
        raise ApiError(f"{name} must be at least {minimum:g}, got {value}.", param=name)
    if maximum is not None and value > maximum:
        raise ApiError(f"{name} must be at most {maximum:g}, got {value}.", param=name)
    return value


def _real(value: object) -> float | None:
    if isinstance(value, str):
        if len(value) > MAX_DIGITS or not _NUMBER.fullmatch(value):
            return None
    elif not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def mapping(body: Body, name: str) -> Body | None:
    value = body.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise wrong(name, "an object", value)


def sequence(body: Body, name: str) -> list[Any] | None:
    value = body.get(name)
    if value is None or isinstance(value, list):
        return value
    raise wrong(name, "a list", value)


def texts(body: Body, name: str) -> tuple[str, ...]:
    """A string or a list of strings."""
    value = body.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise wrong(name, "a string or a list of strings", value)


def token_ids(name: str, value: list[Any]) -> list[int]:
    """A list of token ids, each an integer of at most 32 bits."""
    if all(type(item) is int for item in value) and (not value or 0 <= min(value) <= max(value) < 1 << 32):
        return value  # the usual case, without a step of Python for each of a hundred thousand tokens
    for position, item in enumerate(value):
        if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < 1 << 32:
            raise wrong(f"{name}[{position}]", "a token id", item)
    return value
