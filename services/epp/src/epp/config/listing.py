"""The plugins that a configuration lists, and the references to them in its other sections. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from epp.config.catalogue import KNOWN_UPSTREAM, PARSERS, PLUGINS, Named, PluginType
from epp.config.decode import NO_DEFAULTS, Reference, decode, default
from epp.config.spellings import RENAMED
from epp.scheduling.producers import ApproxPrefixCacheProducer, InflightLoadProducer
from epp.scheduling.roles import DECIDER, NO_ROLES, Roles, roles_of
from gateway.schema.fields import fields_of
from gateway.schema.values import Value
from gateway.schema.wording import nearest

OWN = "own"
PluginClass = type[Any]

# What a parameter that names another plugin may name, by the part it says: one type, or all of a role.
_TYPES: Mapping[str, type[Any]] = MappingProxyType({
    "prefix producer": ApproxPrefixCacheProducer,
    "load producer": InflightLoadProducer,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A plugin as the file lists it. Its roles say which protocol of `epp.scheduling.plugin` it follows."""

    name: str
    type: str
    plugin: Any
    cls: PluginClass
    roles: Roles
    reads_prefix: bool = False
    value: Value | None = None


def plugin_reference(value: Value) -> Value | None:
    """The name in an object that holds nothing but a `pluginRef`."""
    entry = fields_of(value)
    if entry is None:
        return None
    reference = entry.value("pluginRef", required=True)
    entry.done()
    return reference


class Listing:
    """Plugins by name, in the order of the file."""

    def __init__(self, api_version: str, own: Mapping[str, type[Any]]) -> None:
        self._api_version = api_version
        self._types: dict[str, PluginType] = {**PLUGINS, **{name: PluginType(cls, OWN) for name, cls in own.items()}}
        self.by_name: dict[str, Listed] = {}
        self.references: list[Reference] = []  # parameters that name another plugin, and the part it must play

    def add(self, value: Value) -> None:
        """Take one item of `plugins`."""
        item = fields_of(value)
        if item is None:
            return
        written, parameters = item.value("type", required=True), item.value("parameters")
        type_ = written.text() if written is not None else None
        name = item.text("name") or type_
        item.done()
        if written is None or type_ is None or name is None:
            return
        if name in self.by_name:
            value.problem(f"another plugin is named {name!r}, too; give one of them a name of its own")
            return
        listed = self._make(type_, written, parameters)
        if listed is not None:
            self.by_name[name] = replace(listed, name=name, value=value)

    def find(self, value: Value) -> Listed | None:
        """The plugin that a reference names: a listed one, or a type of which none is listed."""
        reference = value.text()
        if reference is None:
            return None
        if reference in self.by_name:
            return self.by_name[reference]
        if reference in self._valid_types():
            return self._make(reference, value, None)
        value.problem(f"no plugin is named {reference!r}{nearest(reference, {*self.by_name, *self._valid_types()})}")
        return None

    def referred(self, value: Value) -> Listed | None:
        """As `find`; a plugin that was not listed is from now on."""
        listed = self.find(value)
        return None if listed is None else self.by_name.setdefault(listed.name, listed)

    def check_references(self) -> None:
        """Every parameter that names another plugin names one that plays the part."""
        for value, part in self.references:
            listed = self.referred(value) if part == DECIDER else self.find(value)
            if listed is not None and not _plays(listed, part):
                value.problem(f"{listed.name!r} ({listed.type}) is no {part}")

    def part_of(self, listed: Listed) -> str:
        """What a plugin is in the catalogue."""
        kind = self._types.get(listed.type)
        return "" if kind is None else kind.part

    def default(self, type_: str) -> Any:
        """A built-in type with its defaults."""
        kind = PLUGINS[type_]
        return default(kind.plugin, kind.defaults.get(self._api_version, NO_DEFAULTS))

    def chosen(self, name: str, role: str) -> Any:
        """The plugin that a checked reference names: a listed one, or a built-in type with its defaults; None if it
        plays no such role, as upstream's that are not here."""
        listed = self.by_name.get(name)
        if listed is not None:
            return listed.plugin if role in listed.roles else None
        return self.default(name) if name in PLUGINS and role in PLUGINS[name].roles else None

    def with_role(self, role: str) -> list[Listed]:
        """Those that play a role, in the order of the file."""
        return [listed for listed in self.by_name.values() if role in listed.roles]

    def only(self, cls: type[Any]) -> Any:
        """The plugin of a class of which one is enough; a second is a problem."""
        found = [listed for listed in self.by_name.values() if listed.cls is cls]
        for extra in found[1:]:
            if extra.value is not None:
                extra.value.problem(f"there is a {found[0].type!r} already; one serves all profiles")
        return found[0].plugin if found else None

    def _valid_types(self) -> set[str]:
        return {*self._types, *RENAMED, *PARSERS, *KNOWN_UPSTREAM}

    def _make(self, written: str, place: Value, parameters: Value | None) -> Listed | None:
        type_ = RENAMED.get(written, written)
        if type_ in KNOWN_UPSTREAM:
            place.note(f"{type_!r} is not here yet: {KNOWN_UPSTREAM[type_]}")
        if type_ in KNOWN_UPSTREAM or type_ in PARSERS:
            return Listed(type_, type_, Named(), Named, NO_ROLES)
        kind = self._types.get(type_)
        if kind is None:
            place.problem(f"unknown plugin type {type_!r}{nearest(type_, self._valid_types())}")
            return None
        if kind.part == OWN:
            return self._make_own(type_, kind.plugin, place, parameters)
        defaults = kind.defaults.get(self._api_version, NO_DEFAULTS)
        made = decode(kind.plugin, parameters, self.references, defaults=defaults, place=place)
        plugin = made.modern() if hasattr(made, "modern") else made
        return Listed(written, type_, plugin, type(plugin), kind.roles, reads_prefix=kind.reads_prefix)

    def _make_own(self, type_: str, plugin: type[Any], place: Value, parameters: Value | None) -> Listed | None:
        try:
            made: object = decode(plugin, parameters, self.references, place=place)
            roles = roles_of(plugin)
        except Exception as error:  # noqa: BLE001 - a plugin of the user's own may raise anything
            place.problem(f"{type_!r} cannot be made: {error}")
            return None
        if not roles:
            place.problem(f"{type_!r} plays no part: it has none of the methods keep, score, pick, decides, …")
            return None
        return Listed(type_, type_, made, plugin, roles, reads_prefix=True)


def _plays(listed: Listed, part: str) -> bool:
    if listed.type in KNOWN_UPSTREAM:
        return True
    return part in listed.roles or _TYPES.get(part) is listed.cls
