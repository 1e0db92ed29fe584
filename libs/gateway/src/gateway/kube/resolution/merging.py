"""The files of all folders become one `Manifests` value, and what is wrong with them. Pure.

Folders count in order: an object of a later one replaces the same object (kind, namespace, name) of an earlier one
whole, so that an overlay holds only what differs. A mistake in an object that is replaced does not count.

A document with a problem costs its own object: `held` keeps the version that was good before, and takes all else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.kube.objects import AccessPolicy, ConfigMap, Manifests, ObjectKey, ObjectName, Parsed, key_of, manifests_of
from gateway.kube.reading.contents import Contents, Entry
from gateway.kube.reading.documents import Identity
from gateway.schema.problems import Problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """One reading of the folders. With problems, `manifests` holds the objects that have none."""

    manifests: Manifests
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()  # accepted, but without the effect that the author may expect
    faulty: frozenset[ObjectKey] = frozenset()  # objects with a problem of their own, or written twice
    unread: frozenset[str] = frozenset()  # files and folders of which some part could not be read


def merged(folders: Iterable[Sequence[Contents]]) -> Loaded:
    """Every object of every folder."""
    problems: list[Problem] = []
    counted: dict[Identity, Entry] = {}
    faulty: set[ObjectKey] = set()
    unread: set[str] = set()
    for files in folders:
        counted.update(_folder(files, problems, faulty))
        unread.update(problem.place.source for contents in files for problem in contents.problems)
    notes: list[Problem] = []
    for entry in counted.values():
        problems.extend(entry.problems)
        notes.extend(entry.notes)
    faulty.update(_key(entry) for entry in counted.values() if entry.problems)
    manifests = manifests_of(entry.found for entry in counted.values() if entry.found is not None and _counts(entry))
    return Loaded(
        manifests, tuple(sorted(set(problems))), tuple(sorted(set(notes))), frozenset(faulty), frozenset(unread)
    )


def _counts(entry: Entry) -> bool:
    """A policy with a problem still keeps requests out: from its targets, or from its whole namespace where one of
    them could not be read. So does a list of tenants: without it every client could do everything."""
    is_list = isinstance(entry.found, ConfigMap) and entry.found.tenants is not None
    return not entry.problems or is_list or isinstance(entry.found, AccessPolicy)


def held(before: Manifests, loaded: Loaded) -> Manifests:
    """What a reading amounts to: each faulty object as it was before, each object of a file that could not be read in
    full as it was unless the file holds it still, and all else as it is now."""
    if not loaded.problems:
        return loaded.manifests
    kept = (
        each
        for was, now in zip(before.by_kind(), loaded.manifests.by_kind(), strict=True)
        for name, each in was.items()
        if key_of(each) in loaded.faulty or _is_unread(each, now.get(name), loaded.unread)
    )
    present = (each for by_name in loaded.manifests.by_kind() for each in by_name.values())
    return manifests_of((*present, *kept))


def _is_unread(was: Parsed, now: Parsed | None, unread: frozenset[str]) -> bool:
    source = was.meta.place.source
    if now is not None and now.meta.place.source == source:
        return False
    return any(source == place or source.startswith(f"{place}/") for place in unread)


def _key(entry: Entry) -> ObjectKey:
    _, kind, namespace, name = entry.identity
    return ObjectKey(kind, ObjectName(namespace, name))


def _folder(files: Sequence[Contents], problems: list[Problem], faulty: set[ObjectKey]) -> Mapping[Identity, Entry]:
    found: dict[Identity, Entry] = {}
    for contents in files:
        problems.extend(contents.problems)
        for entry in contents.entries:
            first = found.setdefault(entry.identity, entry)
            if first is not entry and entry.identity[-1]:
                message = f"already in {first.place}"
                problems.append(Problem(entry.name_place, "metadata.name", message, entry.subject))
                faulty.add(_key(entry))
    return found


def changed(old: Manifests, new: Manifests) -> frozenset[ObjectKey]:
    """The objects that were added, changed or removed from one snapshot to the next."""
    found: set[ObjectKey] = set()
    for before, after in zip(old.by_kind(), new.by_kind(), strict=True):
        found.update(key_of(each) for name, each in after.items() if before.get(name) != each)
        found.update(key_of(before[name]) for name in before.keys() - after.keys())
    return frozenset(found)
