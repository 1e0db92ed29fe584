"""What installed packages bring: plugin types and the guard's classifiers, as entry points. Uses importlib."""

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

PLUGIN_GROUP = "pointsman.bbr.plugins"
CLASSIFIER_GROUP = "pointsman.bbr.classifiers"


class PackageError(Exception):
    """A package's plugin cannot be loaded."""


def loaded(group: str) -> Mapping[str, Callable[..., Any]]:
    """Each entry point of a group by its name."""
    found: dict[str, Callable[..., Any]] = {}
    for entry in metadata.entry_points(group=group):
        if entry.name in found:
            raise PackageError(f"{entry.name!r} of {entry.value}: another package declares that name, too")
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # noqa: BLE001 - a package of the user's may fail in any way
            raise PackageError(f"{entry.name!r} of {entry.value} cannot be loaded: {error}") from None
    return found
