"""A random JSON value that fits a JSON schema, as far as common schemas go. Pure and total: any input gives a value."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

MAX_DEPTH = 16
"""Deeper schemas (or ones that refer to themselves) end in null."""
MAX_ITEMS = 64
"""No array or string grows beyond this, whatever its schema demands."""

_WORDS = ("amber", "north", "river", "seven", "stone", "paper", "cloud", "green", "honest", "lantern")


def instance(schema: object, random: Random) -> Any:
    """A value for `schema`; an object for a schema that says nothing."""
    root = schema if isinstance(schema, Mapping) else {}
    return _value(root, random, root, 0)


def _value(schema: object, random: Random, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    options = schema.get("enum")
    if isinstance(options, Sequence) and options:
        return random.choice(options)
    if isinstance(schema.get("$ref"), str):
        return _value(_resolve(schema["$ref"], root), random, root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(word)
        if isinstance(branches, Sequence) and branches and not isinstance(branches, str):
            return _value(branches[0], random, root, depth + 1)
    kind = schema.get("type", "object" if depth == 0 or "properties" in schema else "string")
    if isinstance(kind, Sequence) and not isinstance(kind, str):
        kind = kind[0] if kind else "null"
    return _of_type(str(kind), schema, random, root, depth)


def _of_type(kind: str, schema: Mapping[str, Any], random: Random, root: Mapping[str, Any], depth: int) -> Any:
    match kind:
        case "string":
            return _string(schema, random)
        case "integer":
            return random.randint(*_range(schema))
        case "number":
            low, high = _range(schema)
            return round(low + (high - low) * random.random(), 3)
        case "boolean":
            return random.random() < 0.5
        case "array":
            least = _count(schema.get("minItems"), 1)
            most = max(least, _count(schema.get("maxItems"), least + 1))
            items = schema.get("items", {"type": "string"})
            return [_value(items, random, root, depth + 1) for _ in range(random.randint(least, most))]
        case "object":
            properties = schema.get("properties")
            if not isinstance(properties, Mapping):
                return {}
            return {str(name): _value(value, random, root, depth + 1) for name, value in properties.items()}
        case _:
            return None


def _string(schema: Mapping[str, Any], random: Random) -> str:
    match schema.get("format"):
        case "date":
            return "2026-01-15"
        case "date-time":
            return "2026-01-15T12:00:00Z"
        case "email":
            return "user@example.com"
        case "uri":
            return "https://example.com/"
    text = random.choice(_WORDS)
    least = _count(schema.get("minLength"), 0)
    while len(text) < least:
        text += " " + random.choice(_WORDS)
    most = max(least, _count(schema.get("maxLength"), len(text)))
    return text[:most]


def _range(schema: Mapping[str, Any]) -> tuple[int, int]:
    low, high = schema.get("minimum", 0), schema.get("maximum")
    low = int(low) if isinstance(low, int | float) else 0
    high = int(high) if isinstance(high, int | float) else low + 100
    return low, max(low, high)


def _count(value: object, default: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return default
    return max(0, min(value, MAX_ITEMS))


def _resolve(reference: str, root: Mapping[str, Any]) -> object:
    found: object = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found
