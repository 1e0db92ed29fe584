"""Whether a snapshot is whole: every cluster, route configuration, assignment and secret that is named is there, once.

Pure. Envoy would take a dangling name and fail requests later, and refuse a name or an address that two listeners have;
so a snapshot with a fault is never served. The faults name what is missing and who names it.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from controlplane.memo import Memo
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Resource, Snapshot

# The string fields of Envoy's messages that name a cluster.
_CLUSTER_FIELDS: Final = frozenset({"cluster", "cluster_name"})
# Whose resources name others.
_REFERRING: Final = (names.LISTENER_TYPE, names.ROUTES_TYPE, names.CLUSTER_TYPE)

Reference = tuple[str, str]  # the type and the name of what is named


def faults(snapshot: Snapshot, memo: Memo | None = None) -> tuple[str, ...]:
    """Everything that is wrong, in lines for people; nothing for a whole snapshot."""
    return (*_duplicates(snapshot), *_shared_addresses(snapshot), *_missing(snapshot, memo or Memo()))


def _duplicates(snapshot: Snapshot) -> Iterator[str]:
    for type_name, resources in snapshot.resources.items():
        for name, count in Counter(item.name for item in resources).items():
            if count > 1:
                yield f"{_kind(type_name)} {name} is there {count} times"


def _shared_addresses(snapshot: Snapshot) -> Iterator[str]:
    bound: dict[str, str] = {}
    for item in snapshot.of(names.LISTENER_TYPE):
        if "address" not in item.body:  # within Envoy, under its own name
            continue
        address = str(item.body["address"])
        first = bound.setdefault(address, item.name)
        if first != item.name:
            yield f"Listener {item.name} binds the address of {first}"


def _missing(snapshot: Snapshot, memo: Memo) -> Iterator[str]:
    there = {(type_name, item.name) for type_name, found in snapshot.resources.items() for item in found}
    there.add((names.CLUSTER_TYPE, names.ABSENT_CLUSTER))
    for type_name in _REFERRING:
        for item in snapshot.of(type_name):
            for wanted in memo.result((references, type_name, item.name), references, type_name, item):
                if wanted not in there:
                    yield f"{_kind(type_name)} {item.name} names {_kind(wanted[0])} {wanted[1]}, which is missing"


def references(type_name: str, resource: Resource) -> tuple[Reference, ...]:
    """Everything that a resource names, once, in the order in which it stands there."""
    is_eds = type_name == names.CLUSTER_TYPE and resource.body.get("type") == "EDS"
    own = [(names.ENDPOINTS_TYPE, resource.name)] if is_eds else []
    return tuple(dict.fromkeys((*own, *_named(resource.body))))


def _named(value: object) -> Iterator[Reference]:
    """Of thousands of routes all parts pass here: what is looked at first decides what a check costs."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                if key in _CLUSTER_FIELDS:
                    yield names.CLUSTER_TYPE, item
                elif key == "route_config_name":
                    yield names.ROUTES_TYPE, item
            elif key == "sds_config":
                yield names.SECRET_TYPE, str(value["name"])
            elif key != "match":  # a route's match is most of it, and names nothing
                if key == "weighted_clusters":
                    yield from ((names.CLUSTER_TYPE, str(share["name"])) for share in item["clusters"])
                yield from _named(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item)


def _kind(type_name: str) -> str:
    return type_name.rpartition(".")[2]
