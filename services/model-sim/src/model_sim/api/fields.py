"""Typed reading of JSON objects: the value, or a 400 that names the field and what it holds.

As in vLLM, unknown fields are ignored and null counts as absent.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from model_sim.api.errors import ApiError

Body = Mapping[str, Any]
SHOWN_CHARACTERS = 60
"""An error quotes no more than this of a client's value."""
MAX_INTEGER = 2**63 - 1


def parse_object(raw: bytes) -> Body:
    """The request body as a JSON object."""
    try:
        body = orjson.loads(raw)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise ApiError(f"Invalid JSON body: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(f"Request body: expected a JSON object, got {shown(body)}")
    return body


def shown(value: object) -> str:
    """A value as an error may quote it."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def wrong(name: str, expected: str, value: object) -> ApiError:
    return ApiError(f"{name}: expected {expected}, got {shown(value)}", param=name)


def required(body: Body, name: str) -> Any:
    value = body.get(name)
    if value is None:
        raise ApiError(f"{name}: field required", param=name)
    return value


def text(body: Body, name: str) -> str | None:
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong(name, "a string", value)


def flag(body: Body, name: str, default: bool = False) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise wrong(name, "true or false", value)


def integer(body: Body, name: str, *, minimum: int | None = None, maximum: int | None = None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_INTEGER:
        raise wrong(name, "an integer", value)
    if minimum is not None and value < minimum:
        raise ApiError(f"{name} must be at least {minimum}, got {value}.", param=name)
    if maximum is not None and value > maximum:
        raise ApiError(f"{name} must be at most {maximum}, got {value}.", param=name)
    return value


def number(body: Body, name: str, *, minimum: float | None = None, maximum: float | None = None) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(name, "a number", value)
    if minimum is not None and value < minimum:
        raise ApiError(f"{name} must be at least {minimum:g}, got {value}.", param=name)
    if maximum is not None and value > maximum:
        raise ApiError(f"{name} must be at most {maximum:g}, got {value}.", param=name)
    return float(value)


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
