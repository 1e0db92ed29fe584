"""Describes every plugin type and its parameters from the code: `epp plugins` and docs/plugins.md. Pure."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Final

from epp.config.catalogue import KNOWN_UPSTREAM, PARSERS, PLUGINS, PluginType
from epp.config.decode import NO_DEFAULTS, key_of
from epp.config.spellings import GIE, LLM_D, RENAMED
from epp.scheduling.roles import METHODS, roles_of
from epp.scheduling.units import Quantity, Seconds

_INTRODUCTION = """\
# Plugins

Every plugin type of an `EndpointPickerConfig`, its parameters with type, default and reason. This page is the output
of `epp plugins`. Where the two apiVersions have different defaults, both stand there: first that of
`llm-d.ai/v1alpha1`, then that of `inference.networking.x-k8s.io/v1alpha1`.
"""
_TYPES: Mapping[Any, str] = types.MappingProxyType({
    object: "anything",
    str: "string",
    bool: "true/false",
    int: "integer",
    float: "number",
    Seconds: "duration",
    Quantity: "quantity",
})  # fmt: skip
_ORDER = ("filter", "scorer", "picker", "profile handler", "decider", "producer", "source", "extractor",
          "saturation detector", "admitter", "fairness policy", "ordering policy", "usage limit policy",
          "answer reporter")  # fmt: skip
NO_PLUGINS: Final[Mapping[str, type[Any]]] = types.MappingProxyType({})


def describe_plugins(own: Mapping[str, type[Any]] = NO_PLUGINS) -> str:
    """The page, as Markdown; `own` are types that installed packages bring."""
    lines = [_INTRODUCTION]
    for part in _ORDER:
        members = [(name, kind) for name, kind in PLUGINS.items() if kind.part.split(", ")[0] == part]
        lines.append(f"\n## {_plural(part)}\n")
        for name, kind in sorted(members):
            lines += _describe(name, kind)
    lines.append("\n## Names only\n\nThey load and select; settings of theirs are not looked at.\n")
    lines += [f"- `{name}` (parser)" for name in sorted(PARSERS)]
    lines.append("\n## Earlier names\n\nOf the same types, in earlier releases.\n")
    lines += [f"- `{former}`: `{name}`" for former, name in sorted(RENAMED.items())]
    lines.append("\n## Known upstream, not here yet\n\nThey load with a warning that says what is then missing.\n")
    lines += [f"- `{name}`: {effect}" for name, effect in sorted(KNOWN_UPSTREAM.items())]
    if own:
        lines.append("\n## From installed packages\n")
    for name, plugin in sorted(own.items()):
        lines += _describe_own(name, plugin)
    return "\n".join(lines) + "\n"


def _plural(part: str) -> str:
    name = part.capitalize()
    return f"{name.removesuffix('y')}ies" if name.endswith("y") else f"{name}s"


def _describe_own(name: str, plugin: type[Any]) -> list[str]:
    try:
        parts = [role for role in METHODS if role in roles_of(plugin)]
        described = _describe(name, PluginType(plugin, ""))
    except Exception as error:  # noqa: BLE001 - what a package of the user's names may be anything
        return [f"\n### {name}\n", f"Cannot be used: {error}"]
    return [f"\n### {name} ({', '.join(parts) or 'plays no part'})\n", *described[1:]]


def _describe(name: str, kind: PluginType) -> list[str]:
    summary = next(iter((kind.plugin.__doc__ or "").strip().splitlines()), "")
    parts = f" ({kind.part})" if ", " in kind.part else ""
    lines = [f"\n### {name}{parts}\n", summary]
    rows = list(_parameters(kind.plugin, kind.defaults))
    if rows:
        lines += ["", "| parameter | type | default | why |", "|---|---|---|---|", *rows]
    return lines


def _parameters(
    cls: type[Any], by_version: Mapping[str, Mapping[str, object]], prefix: str = ""
) -> typing.Iterator[str]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if "why" not in field.metadata:
            continue
        key, hint = f"{prefix}{key_of(field)}", hints[field.name]
        inner, is_list = _inner(hint)
        why, unit = str(field.metadata["why"]), str(field.metadata["unit"])
        if dataclasses.is_dataclass(inner):
            kind = "list" if is_list else "mapping"
            yield f"| `{key}` | {kind} | | {why} |"
            yield from _parameters(typing.cast("type[Any]", inner), {}, f"{key}[]." if is_list else f"{key}.")
            continue
        choices = field.metadata["choices"]
        type_ = " or ".join(f"`{choice}`" for choice in choices) if choices else _type(inner)
        type_ = f"list of {type_}" if is_list else f"{type_}, {unit}" if unit and inner is not Seconds else type_
        yield f"| `{key}` | {type_} | {_defaults(field, inner, by_version)} | {why} |"


def _defaults(field: dataclasses.Field[Any], type_: Any, by_version: Mapping[str, Mapping[str, object]]) -> str:
    default = field.default if field.default is not dataclasses.MISSING else None
    show = _show_seconds if type_ is Seconds else _show
    shown = [show(by_version.get(version, NO_DEFAULTS).get(field.name, default)) for version in (LLM_D, GIE)]
    return shown[0] if shown[0] == shown[1] else ", ".join(shown)


def _show_seconds(value: Any) -> str:
    if value is None:
        return _show(None)
    return f"{value:g}s" if value >= 1 else f"{value * 1000:g}ms"


def _show(value: object) -> str:
    if value is None or value == "" or value == ():
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _inner(hint: Any) -> tuple[Any, bool]:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _inner(typing.get_args(hint)[0])[0], True
    if origin in (typing.Union, types.UnionType):
        return _inner(next(arg for arg in typing.get_args(hint) if arg is not types.NoneType))
    return hint, False


def _type(hint: Any) -> str:
    if typing.get_origin(hint) is not None:
        return "mapping of strings"
    return _TYPES.get(hint, "string")
