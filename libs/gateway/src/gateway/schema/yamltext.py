"""YAML and JSON text becomes plain data that remembers the place of each field. Pure.

The data is what JSON can hold (dict, list, str, int, float, bool, None); time stamps stay text. A text that is no YAML
gives a problem, never an exception, and the documents before the mistake.

The parser's events are taken one by one, so that a bound ends a hostile text before it takes memory. An aliased value
is shared, but counts each time towards the bounds, since readers walk it each time.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from gateway.schema.paths import join
from gateway.schema.problems import Findings, Mark, Origin, Place, Problem
from gateway.schema.values import Value

MAX_NODES: Final = 200_000  # values of one document; an alias bomb ends here instead of in memory
MAX_DEPTH: Final = 64  # no API type nests deeper than a third of this
PAUSE_NODES: Final = 200  # values between two pauses, some 0.5 ms of work

# Names of this module are found faster than those of another, which matters for a million values.
_Alias, _Scalar = yaml.AliasEvent, yaml.ScalarEvent
_MappingStart, _MappingEnd, _SequenceEnd = yaml.MappingStartEvent, yaml.MappingEndEvent, yaml.SequenceEndEvent

_STR: Final = "tag:yaml.org,2002:str"
_TEXT_TAGS: Final = frozenset({_STR, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"})
_NULL: Final = "tag:yaml.org,2002:null"
_BOOL: Final = "tag:yaml.org,2002:bool"
_TRUE: Final = frozenset({"true", "yes", "on"})
_MERGE: Final = "<<"
# What a plain scalar's first character says about its type: PyYAML's table of YAML 1.1.
_IMPLICIT: Final = yaml.SafeLoader.yaml_implicit_resolvers


@dataclass(frozen=True, slots=True)
class Located:
    """One document of a text: its data, and the line and column of each path in it."""

    data: object
    marks: Mapping[str, Mark]


Pause = Callable[[], None]


def no_pause() -> None:
    """Nobody waits while this text is read."""


def parse(text: str, source: str, findings: Findings, pause: Pause = no_pause) -> Iterator[Located]:
    """Every document of a text, one at a time. A mistake ends the iteration with a problem.

    `pause` is called between pieces of work, so that a thread can let others run while it reads a long document.
    """
    if source.endswith(".json"):
        text = text.replace("\t", " ")  # YAML forbids tabs between tokens; inside a JSON string there can be none
    try:
        yield from _documents(text, source, findings, pause)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(source, mark, text)
        words = ", ".join(part for part in (error.context, error.problem) if part)
        findings.problems.append(Problem(place, "", f"not valid YAML: {words}"))
    except yaml.reader.ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        words = f"unacceptable character #x{error.character:04x}"
        findings.problems.append(Problem(Place(source, line), "", f"not valid YAML: {words}"))
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        findings.problems.append(Problem(Place(source, line), "", "not valid YAML: half a surrogate pair"))


def _place(source: str, mark: Any, text: str) -> Place:
    """The place of a mark, if there is one. To the parser, the end of a text is a line of its own."""
    if mark is None:
        return Place(source)
    last = text.count("\n")
    return Place(source, mark.line + 1, mark.column + 1) if mark.line <= last else Place(source, last + 1)


def one(text: str, source: str, findings: Findings) -> Value | None:
    """The only document of a text; None with a problem where there is none or more than one."""
    found = list(parse(text, source, findings))
    if findings.problems:
        return None
    if len(found) != 1 or found[0].data is None:
        words = "the document is empty" if len(found) <= 1 else "expected one document, got several"
        mark = (1, 1) if len(found) <= 1 else found[1].marks[""]
        findings.problems.append(Problem(Place(source, *mark), "", words))
        return None
    return Value(found[0].data, "", Origin(source, found[0].marks), findings)


def _documents(text: str, source: str, findings: Findings, pause: Pause) -> Iterator[Located]:
    loader = yaml.CSafeLoader(text)
    try:
        event = loader.get_event()
        while type(event) is not yaml.StreamEndEvent:
            if type(event) is yaml.DocumentStartEvent:
                reading = _Reading(loader, source, findings, pause)
                data = reading.value(loader.get_event(), "", 0)
                yield Located(data, reading.marks)
            event = loader.get_event()
    finally:
        loader.dispose()


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A value with a name, and what an alias of it counts: values in it, and levels below it."""

    data: object
    nodes: int
    levels: int


class _Reading:
    """Builds the data of one document from events."""

    def __init__(self, loader: Any, source: str, findings: Findings, pause: Pause) -> None:
        self.marks: dict[str, Mark] = {}
        self._next = loader.get_event
        self._source = source
        self._findings = findings
        self._pause = pause
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = 0
        self._deepest = 0

    def value(self, event: Any, path: str, depth: int) -> object:
        """The value that begins with an event; reads up to its end."""
        self._count(event, 1, depth)
        self.marks.setdefault(path, _mark(event))
        if type(event) is _Alias:
            return self._aliased(event, depth)
        if not event.anchor:
            return self._built(event, path, depth)
        nodes, deepest, self._deepest = self._nodes, self._deepest, depth
        self._anchors.pop(event.anchor, None)  # within itself a value has no name yet
        data = self._built(event, path, depth)
        self._anchors[event.anchor] = _Anchored(data, self._nodes - nodes + 1, self._deepest - depth)
        self._deepest = max(self._deepest, deepest)
        return data

    def _built(self, event: Any, path: str, depth: int) -> object:
        if type(event) is _Scalar:
            return _scalar(event)
        if type(event) is _MappingStart:
            return self._mapping(path, depth)
        items: list[object] = []
        item = self._next()
        while type(item) is not _SequenceEnd:
            items.append(self.value(item, f"{path}[{len(items)}]", depth + 1))
            item = self._next()
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: list[object] = []
        key = self._next()
        while type(key) is not _MappingEnd:
            name = self._key(key, path, depth)
            if name is None:
                pass
            elif name == _MERGE and type(key) is _Scalar and key.implicit[0]:
                merged.append(self.value(self._next(), join(path, name), depth + 1))
            else:
                place, mark = f"{path}.{name}" if path else name, _mark(key)
                if name in found:
                    self._problem(mark, place, "written twice")
                self.marks[place] = mark
                found[name] = self.value(self._next(), place, depth + 1)
            key = self._next()
        for source in merged:
            self._merge(found, source, path)
        return found

    def _key(self, event: Any, path: str, depth: int) -> str | None:
        """A key is text, whatever it looks like. A list or an object is no key: its entry is left out."""
        if type(event) is _Scalar:
            if event.anchor:
                self._anchors[event.anchor] = _Anchored(_scalar(event), 1, 0)
            return str(event.value)
        found = self.value(event, path, depth + 1)
        if isinstance(found, str):
            return found  # an alias
        self._problem(_mark(event), path, "expected a name before the colon")
        self.value(self._next(), path, depth + 1)
        return None

    def _merge(self, found: dict[str, object], source: object, path: str) -> None:
        """What is merged gives way to what is written, and the first of several to merge wins."""
        for entries in source if isinstance(source, list) else [source]:
            if isinstance(entries, dict):
                for key, value in entries.items():
                    found.setdefault(key, value)
            else:
                self._problem(self.marks[path], path, "expected an object to merge")

    def _aliased(self, event: Any, depth: int) -> object:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            raise yaml.composer.ComposerError(None, None, f"found undefined alias {event.anchor!r}", event.start_mark)
        self._count(event, anchored.nodes, depth + anchored.levels)
        return anchored.data

    def _count(self, event: Any, nodes: int, depth: int) -> None:
        self._nodes += nodes
        if depth > self._deepest:
            self._deepest = depth
        if self._nodes % PAUSE_NODES == 0:
            self._pause()
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            words = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_NODES} values"
            raise yaml.composer.ComposerError(None, None, words, event.start_mark)

    def _problem(self, mark: Mark, path: str, message: str) -> None:
        self._findings.problems.append(Problem(Place(self._source, *mark), path, message))


def _mark(event: Any) -> Mark:
    start = event.start_mark
    return (start.line + 1, start.column + 1)


def _scalar(event: Any) -> object:
    """The value of a scalar by YAML 1.1's rules."""
    value: str = event.value
    tag = event.tag
    if tag is None or tag == "!":
        if not event.implicit[0]:
            return value  # quoted
        tag = _implicit_tag(value)
    if tag in _TEXT_TAGS:
        return value
    if tag == _NULL:
        return None
    if tag == _BOOL:
        return value.lower() in _TRUE
    node = yaml.ScalarNode(tag, value, event.start_mark, event.end_mark)
    try:
        made: object = yaml.constructor.SafeConstructor().construct_object(node)
    except ValueError:  # a number of more digits than Python reads
        return value
    return made


def _implicit_tag(value: str) -> str:
    for tag, pattern in _IMPLICIT.get(value[:1], ()):
        if pattern.match(value):
            return str(tag)
    return _STR
