"""A snapshot as people may see it: without private keys, and with a word in the place of other credentials. Pure."""

from typing import Final

from controlplane.xds.resources import names
from controlplane.xds.snapshot import Resource, Snapshot, collected, resource_of

CONCEALED: Final = "(concealed)"


def concealed(snapshot: Snapshot) -> Snapshot:
    """It without secrets. What holds none stays the same object."""
    return collected({
        type_name: [_concealed(item) for item in found]
        for type_name, found in snapshot.without(names.SECRET_TYPE).resources.items()
    })  # fmt: skip


def _concealed(item: Resource) -> Resource:
    shown = without_credentials(item.body)
    assert isinstance(shown, dict)
    return item if shown is item.body else resource_of(shown)


def without_credentials(value: object) -> object:
    """A part of a resource; the same object where it holds none."""
    if isinstance(value, names.Concealed):
        return CONCEALED
    if isinstance(value, dict):
        made = {key: without_credentials(item) for key, item in value.items()}
        return made if any(made[key] is not item for key, item in value.items()) else value
    if isinstance(value, list):
        items = [without_credentials(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value
