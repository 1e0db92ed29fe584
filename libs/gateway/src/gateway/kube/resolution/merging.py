"""The files of all folders become one `Manifests` value, and what is wrong with them. Pure.

Folders count in order: an object of a later one replaces the same object (kind, namespace, name) of an earlier one
whole, so that an overlay holds only what differs. A mistake in an object that is replaced does not count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.kube.objects import Manifests, ObjectKey, key_of, manifests_of
from gateway.kube.reading.contents import Contents, Entry
from gateway.kube.reading.documents import Identity
from gateway.schema.problems import Problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """One reading of the folders. With problems, `manifests` holds only what could be read: do not act on it."""

    manifests: Manifests
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()  # accepted, but without the effect that the author may expect


def merged(folders: Iterable[Sequence[Contents]]) -> Loaded:
    """Every object of every folder."""
    problems: list[Problem] = []
    counted: dict[Identity, Entry] = {}
    for files in folders:
        counted.update(_folder(files, problems))
    notes: list[Problem] = []
    for entry in counted.values():
        problems.extend(entry.problems)
        notes.extend(entry.notes)
    manifests = manifests_of(entry.found for entry in counted.values() if entry.found is not None)
    return Loaded(manifests, tuple(sorted(set(problems))), tuple(sorted(set(notes))))


def _folder(files: Sequence[Contents], problems: list[Problem]) -> Mapping[Identity, Entry]:
    found: dict[Identity, Entry] = {}
    for contents in files:
        problems.extend(contents.problems)
        for entry in contents.entries:
            first = found.setdefault(entry.identity, entry)
            if first is not entry and entry.identity[-1]:
                message = f"already in {first.place}"
                problems.append(Problem(entry.name_place, "metadata.name", message, entry.subject))
    return found


def changed(old: Manifests, new: Manifests) -> frozenset[ObjectKey]:
    """The objects that were added, changed or removed from one snapshot to the next."""
    found: set[ObjectKey] = set()
    for before, after in zip(old.by_kind(), new.by_kind(), strict=True):
        found.update(key_of(each) for name, each in after.items() if before.get(name) != each)
        found.update(key_of(before[name]) for name in before.keys() - after.keys())
    return frozenset(found)
