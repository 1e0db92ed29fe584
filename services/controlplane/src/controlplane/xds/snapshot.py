"""`Snapshot`: every resource that Envoy is to have, by type, each with a version that is a hash of its content.

Pure and immutable: the same resources always have the same versions, and a way of serving compares versions instead of
contents to find what changed. Bodies are plain dicts that nobody changes after they are in a snapshot.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import orjson

Body = Mapping[str, object]

VERSION_BYTES: Final = 8  # 64 bits: two of a million contents agree with a probability of 1 in 40 million


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a type. Two of one name and version are the same."""

    name: str
    version: str
    body: Body = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Changes:
    """What one snapshot of a type has that an older one had not: new and changed resources, and names that are gone."""

    updated: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Resources by type, in the order in which they were given. A type without an entry was never set."""

    resources: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)  # of all resources of a type together

    @property
    def version(self) -> str:
        """Of everything together."""
        return _version(f"{type_name} {version}".encode() for type_name, version in sorted(self.versions.items()))

    def of(self, type_name: str) -> tuple[Resource, ...]:
        """The resources of a type."""
        return self.resources.get(type_name, ())

    def without(self, type_name: str) -> "Snapshot":
        """The same without a type, as if it had never been set."""
        return Snapshot(
            MappingProxyType({key: found for key, found in self.resources.items() if key != type_name}),
            MappingProxyType({key: version for key, version in self.versions.items() if key != type_name}),
        )

    def changes_since(self, older: "Snapshot", type_name: str) -> Changes:
        """What changed in a type. Without a change it costs one comparison of versions."""
        if older.versions.get(type_name) == self.versions.get(type_name):
            return Changes()
        before = {item.name: item.version for item in older.of(type_name)}
        after = {item.name for item in self.of(type_name)}
        return Changes(
            updated=tuple(item for item in self.of(type_name) if before.get(item.name) != item.version),
            removed=tuple(name for name in before if name not in after),
        )


def snapshot_of(bodies: Mapping[str, Iterable[Body]]) -> Snapshot:
    """A snapshot of these bodies by type."""
    return collected({type_name: [resource_of(body) for body in found] for type_name, found in bodies.items()})


def collected(resources: Mapping[str, Iterable[Resource]]) -> Snapshot:
    """A snapshot of these resources by type. A name that a type has twice is kept twice, for the check to find."""
    listed = {type_name: tuple(found) for type_name, found in resources.items()}
    versions = {
        type_name: _version(f"{item.name} {item.version}".encode() for item in found)
        for type_name, found in listed.items()
    }
    return Snapshot(MappingProxyType(listed), MappingProxyType(versions))


def name_of(body: Body) -> str:
    """The name of a resource, whatever its type calls it."""
    return str(body.get("name") or body.get("cluster_name"))


def resource_of(body: Body) -> Resource:
    """A body with its name and version."""
    return Resource(name_of(body), _version((orjson.dumps(body),)), body)


def _version(texts: Iterable[bytes]) -> str:
    return hashlib.blake2b(b",".join(texts), digest_size=VERSION_BYTES).hexdigest()
