"""A text, or an object of an API server, becomes entries: objects, each with what is wrong with it. Pure.

An entry depends on its own document only, so a shell may keep the entries of a file for as long as it stays the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.kube.objects import Parsed
from gateway.kube.reading.documents import Document, Identity, cluster_document, documents
from gateway.kube.reading.table import read
from gateway.schema.problems import Findings, Place, Problem
from gateway.schema.yamltext import Pause, no_pause, parse


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a file. `found` is None where its kind has no effect, or where it cannot be read at all."""

    identity: Identity
    place: Place
    name_place: Place
    found: Parsed | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()

    @property
    def subject(self) -> str:
        """The object, for messages."""
        _, kind, namespace, name = self.identity
        return f"{kind} {namespace}/{name}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file holds. `problems` are those of its text; each entry has its own."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()


def entries(text: str, file: str, problems: list[Problem], pause: Pause = no_pause) -> Iterator[Entry]:
    """The objects of a text, one at a time; what is wrong with the text itself is added to `problems`."""
    findings = Findings(problems)
    for located in parse(text, file, findings, pause):
        for document in documents(located, file, findings):
            yield _entry(document)
            pause()


def cluster_entry(data: Mapping[str, object]) -> Entry | None:
    """An object as an API server gave it; None for what is no object."""
    document = cluster_document(data)
    return None if document is None else _entry(document)


def _entry(document: Document) -> Entry:
    found, value = read(document), document.value
    return Entry(
        identity=document.identity,
        place=value.place,
        name_place=value.origin.place("metadata.name"),
        found=found,
        problems=tuple(value.findings.problems),
        notes=tuple(value.findings.notes),
    )
