"""What has to be written so that objects are as they are wanted. Pure.

An object is as wanted if it has every field that is wanted, with its value; others are the server's or somebody else's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.kube.sources.source import Wanted

Tree = Mapping[str, Any]
Key = tuple[str, str, str]  # kind, namespace, name


class Live(NamedTuple):
    """An object as the server has it. `owners` are the uids of what it belongs to."""

    key: Key
    uid: str
    version: str
    owners: frozenset[str]
    data: Tree


class Changes(NamedTuple):
    applied: Sequence[Tree]
    deleted: Sequence[Live]


Applied = Mapping[Key, tuple[Tree, str]]  # what was applied last, and the version that the object had after that


def live(data: Mapping[str, Any]) -> Live | None:
    """An object as it came; None for what is none."""
    metadata = data.get("metadata")
    if not isinstance(metadata, Mapping) or not metadata.get("name"):
        return None
    owners = metadata.get("ownerReferences")
    return Live(
        key_of(data),
        str(metadata.get("uid") or ""),
        str(metadata.get("resourceVersion") or ""),
        frozenset(str(each.get("uid")) for each in owners or () if isinstance(each, Mapping)),
        data,
    )


def key_of(data: Tree) -> Key:
    """The name of an object among all kinds of one API."""
    metadata = data["metadata"]
    return (str(data["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"]))


def changes(wanted: Wanted, found: Iterable[Live], applied: Applied) -> Changes:
    """What is missing or otherwise is applied; what nobody wants any more is deleted, if it belongs to an owner.

    Something that was applied and stays otherwise is left until it, or what is wanted, changes: the server has another
    opinion, or somebody else has a part of it. Of two that are wanted under one name the first counts, always.
    """
    by_key = {each.key: each for each in found}
    wanted_by_key: dict[Key, Tree] = {}
    for each in wanted.objects:
        wanted_by_key.setdefault(key_of(each), each)
    return Changes(
        [each for key, each in wanted_by_key.items() if _is_due(each, by_key.get(key), applied.get(key))],
        [each for each in by_key.values() if each.key not in wanted_by_key and each.owners & wanted.owners],
    )


def _is_due(wanted: Tree, found: Live | None, applied: tuple[Tree, str] | None) -> bool:
    if found is None:
        return True
    return not holds(found.data, wanted) and applied != (wanted, found.version)


def holds(found: Any, wanted: Any) -> bool:
    """Whether a value is all of what is wanted. Lists have as many items, in that order."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(holds(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        is_as_long = isinstance(found, list) and len(found) == len(wanted)
        return is_as_long and all(holds(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))
    return bool(found == wanted)
