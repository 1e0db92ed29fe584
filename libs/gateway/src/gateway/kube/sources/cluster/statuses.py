"""The status that an object is to have, from the one it has and the one that a controller wants. Pure.

`parents` belong to several controllers: entries of others stay. A condition keeps the time at which it became true or
false, so that a controller that starts anew changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence

Tree = Mapping[str, object]


def merged(current: Tree, wanted: Tree, controller: str) -> Tree | None:
    """The status to write; None where the object has it."""
    found = dict(wanted)
    others: Sequence[Tree] = ()
    if "conditions" in wanted:
        found["conditions"] = _timed(_trees(wanted, "conditions"), _trees(current, "conditions"))
    if "listeners" in wanted:
        found["listeners"] = _parts(_trees(wanted, "listeners"), _trees(current, "listeners"))
    if "parents" in wanted:
        parents = _trees(current, "parents")
        others = [each for each in parents if each.get("controllerName") != controller]
        own = [each for each in parents if each.get("controllerName") == controller]
        found["parents"] = _parts(_trees(wanted, "parents"), own)
        current = {**current, "parents": own}
    if all(current.get(key, _nothing(value)) == value for key, value in found.items()):
        return None
    if others:
        found["parents"] = [*others, *_trees(found, "parents")]
    return found


def _parts(wanted: Iterable[Tree], current: Sequence[Tree]) -> list[Tree]:
    """Listeners or parents, each with the times of the same one that is there."""
    known = {_identity(each): each for each in current}
    return [
        {**each, "conditions": _timed(_trees(each, "conditions"), _trees(known.get(_identity(each), {}), "conditions"))}
        for each in wanted
    ]


def _identity(part: Tree) -> str:
    ref = part.get("parentRef")
    return str(sorted(ref.items())) if isinstance(ref, Mapping) else str(part.get("name"))


def _timed(wanted: Iterable[Tree], current: Iterable[Tree]) -> list[Tree]:
    since = {(each.get("type"), each.get("status")): each.get("lastTransitionTime") for each in current}
    return [
        {**each, "lastTransitionTime": since.get((each["type"], each["status"])) or each.get("lastTransitionTime")}
        for each in wanted
    ]


def _trees(tree: Tree, key: str) -> list[Tree]:
    found = tree.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _nothing(value: object) -> object:
    """An empty list is written as none."""
    return [] if value == [] else None
