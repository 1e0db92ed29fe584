"""An object of a configuration becomes a frozen dataclass, whose fields are the only valid keys. Pure.

Field names are snake_case and keys camelCase; `epp.scheduling.plugin.parameter` carries what else is needed. Values
for which an apiVersion has defaults of its own come as `defaults`.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from epp.scheduling.units import Quantity, Seconds
from gateway.schema.values import Value
from gateway.schema.wording import outside

NO_DEFAULTS: Mapping[str, object] = types.MappingProxyType({})

Reference = tuple[Value, str]  # a value that names another plugin, and the role that it must play

_READERS: Mapping[object, Callable[[Value], object]] = types.MappingProxyType({
    str: Value.text,
    bool: Value.boolean,
    int: Value.integer,
    float: Value.number,
    Seconds: Value.duration,
    Quantity: Value.quantity,
    object: lambda value: value.shown if value.data else None,
})  # fmt: skip


def key_of(field: dataclasses.Field[Any]) -> str:
    """The YAML key of a field."""
    key = field.metadata.get("key")
    if key:
        return str(key)
    first, *rest = field.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def decode(
    cls: type[Any],
    value: Value | None,
    references: list[Reference],
    *,
    defaults: Mapping[str, object] = NO_DEFAULTS,
    place: Value | None = None,
) -> Any:
    """An instance of `cls`; what does not fit is reported and takes its default.

    `place` is where a problem of the whole belongs if there is no value. Names of other plugins go to `references`.
    """
    fields = {key_of(field): field for field in dataclasses.fields(cls) if "why" in field.metadata}
    hints = typing.get_type_hints(cls)
    given: dict[str, object] = dict(defaults)
    for key, member in ({} if value is None else value.known_members(fields)).items():
        field = fields[key]
        if member.is_nothing:
            continue
        decoded = _decode_type(hints[field.name], member, references)
        if decoded is not None and _is_within_bounds(field, member, decoded):
            given[field.name] = decoded
            if field.metadata.get("reference") and decoded:
                references.append((member, str(field.metadata["reference"])))
        if field.metadata.get("ignored"):
            member.note(f"has no effect: {str(field.metadata['why']).removeprefix('ignored: ')}")
    instance = cls(**given)
    _judge(instance, value or place)
    return instance


def default(cls: type[Any], defaults: Mapping[str, object] = NO_DEFAULTS) -> Any:
    """An instance with its defaults."""
    return cls(**defaults)


def _judge(instance: object, place: Value | None) -> None:
    """Report what a value finds wrong with itself as a whole (`problem`), or surprising (`warning`)."""
    problem, warning = getattr(instance, "problem", None), getattr(instance, "warning", None)
    if place is None:
        return
    if problem is not None and (message := problem()):
        place.problem(message)
    elif warning is not None and (message := warning()):
        place.note(message)


def _decode_type(hint: Any, value: Value, references: list[Reference]) -> object:
    origin = typing.get_origin(hint)
    if hint in _READERS:
        return _READERS[hint](value)
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast("type[Any]", hint), value, references)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
        return _decode_type(inner, value, references)
    if origin is typing.Literal:
        return value.text()
    if origin is tuple:
        decoded = [_decode_type(typing.get_args(hint)[0], item, references) for item in value.items()]
        return tuple(item for item in decoded if item is not None)
    inner = typing.get_args(hint)[1]
    entries = {key: _decode_type(inner, member, references) for key, member in value.members().items()}
    return {key: entry for key, entry in entries.items() if entry is not None}


def _is_within_bounds(field: dataclasses.Field[Any], value: Value, decoded: Any) -> bool:
    bounds = field.metadata
    choices, above = bounds.get("choices"), bounds.get("above")
    if choices and decoded not in choices:
        value.misfit(f"one of {', '.join(choices)}")
        return False
    low, high = bounds.get("minimum"), bounds.get("maximum")
    expected = outside(decoded, low, high) if low is not None or high is not None else None
    if expected is None and above is not None and decoded <= above:
        expected = f"more than {above:g}"
    if expected is not None:
        value.misfit(expected)
    return expected is None
