"""YAML and JSON text becomes documents that remember where each field was written.

Pure: text in, documents and problems out. It knows the shape that every Kubernetes object shares (apiVersion, kind,
metadata) and no kind in particular; it never raises for bad input.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import yaml

MAX_NODES: Final = 200_000  # one file; an alias bomb ends here instead of in memory
MAX_DEPTH: Final = 64  # no API type nests deeper than a third of this
DEFAULT_NAMESPACE: Final = "default"
NO_TEXTS: Final[Mapping[str, str]] = MappingProxyType({})
# Kinds move between these groups and stay what they are, so that an overlay may replace an object under either.
_MOVED_GROUPS: Final = MappingProxyType({"llm-d.ai": "inference.networking.x-k8s.io"})
_TEXT_TAGS: Final = frozenset({"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:str", "tag:yaml.org,2002:value"})


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong in a manifest, said so that a person finds the place. Line 0: the file as a whole."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Document:
    """One Kubernetes object as written. `body` is plain JSON-like data; `lines` maps field paths to line numbers."""

    file: str
    api_version: str
    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    body: Mapping[str, object]
    lines: Mapping[str, int]
    prefix: str = ""  # where the object sits when it is an item of a List

    @property
    def group(self) -> str:
        """The API group: `gateway.networking.k8s.io`; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes two documents the same object; the version does not, nor a group that its kind has moved from."""
        return (_MOVED_GROUPS.get(self.group, self.group), self.kind, self.namespace, self.name)

    def line(self, path: str = "") -> int:
        """The line of a field, or of the nearest field around it that was written."""
        full = join(self.prefix, path)
        while full not in self.lines:
            full = _parent(full)
        return self.lines[full]

    def problem(self, path: str, message: str) -> Problem:
        """A problem at a field of this object, which the message names."""
        return Problem(self.file, self.line(path), path, f"{message} ({self.kind} {self.namespace}/{self.name})")


def join(path: str, key: str | int) -> str:
    """The path of a field inside another: `spec.rules[0].name`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not key or key.startswith("["):
        return path + key
    return f"{path}.{key}" if path else key


def _parent(path: str) -> str:
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def parse(text: str, file: str) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Read every document of one file. A file that is no YAML gives one problem and no document."""
    if file.endswith(".json"):
        text = text.replace("\t", " ")  # YAML forbids tabs between tokens; inside a JSON string there can be none
    documents: list[Document] = []
    problems: list[Problem] = []
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_node():
            root = loader.get_node()
            assert root is not None
            reading = _Reading(file, loader, problems)
            body = reading.value(root, "", 0)
            documents.extend(_objects(file, body, reading.lines, problems))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(Problem(file, mark.line + 1 if mark else 0, "", f"not YAML: {error.problem or error.context}"))
    except (yaml.YAMLError, _TooLargeError, RecursionError, ValueError) as error:
        problems.append(Problem(file, 0, "", f"not YAML: {' '.join(str(error).split()) or 'nested too deeply'}"))
    finally:
        if loader is not None:
            loader.dispose()
    return tuple(documents), tuple(problems)


class _TooLargeError(Exception):
    pass


class _Reading:
    """Turns the nodes of one document into plain values and notes the line of each path."""

    def __init__(self, file: str, loader: yaml.SafeLoader, problems: list[Problem]) -> None:
        self.lines: dict[str, int] = {}
        self._file = file
        self._loader = loader
        self._problems = problems
        self._nodes = 0

    def value(self, node: yaml.Node, path: str, depth: int) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _TooLargeError(f"more than {MAX_NODES} values, or nested deeper than {MAX_DEPTH}")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, join(path, index), depth + 1) for index, item in enumerate(node.value)]
        return node.value if node.tag in _TEXT_TAGS else self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, object]:
        written = [key.value for key, _ in node.value]
        self._loader.flatten_mapping(node)
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            place = join(path, key)
            if key in result and written.count(key_node.value) > 1:
                self._problems.append(Problem(self._file, key_node.start_mark.line + 1, place, "written twice"))
            self.lines[place] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, place, depth + 1)
        return result


def _objects(
    file: str, body: object, lines: Mapping[str, int], problems: list[Problem], prefix: str = ""
) -> Iterator[Document]:
    if body is None:
        return
    line = lines[prefix]
    if not isinstance(body, Mapping):
        problems.append(Problem(file, line, prefix, f"expected an object with apiVersion and kind, got {_what(body)}"))
        return
    api_version, kind = body.get("apiVersion"), body.get("kind")
    for key, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            place = join(prefix, key)
            problems.append(Problem(file, lines.get(place, line), place, f"expected a string, got {_what(value)}"))
            return
    items = body.get("items")
    if str(kind).endswith("List") and isinstance(items, list):
        for index in range(len(items)):
            yield from _objects(file, items[index], lines, problems, join(join(prefix, "items"), index))
        return
    yield _document(file, body, lines, problems, prefix)


def _document(
    file: str, body: Mapping[str, object], lines: Mapping[str, int], problems: list[Problem], prefix: str
) -> Document:
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        place = join(prefix, "metadata")
        problems.append(Problem(file, lines.get(place, 0), place, f"expected an object, got {_what(metadata)}"))
    found: Mapping[str, object] = metadata if isinstance(metadata, Mapping) else {}

    def text(key: str, default: str) -> str:
        value = found.get(key)
        if value is None or isinstance(value, str):
            return value or default
        place = join(prefix, f"metadata.{key}")
        problems.append(Problem(file, lines.get(place, 0), place, f"expected a string, got {_what(value)}"))
        return default

    def texts(key: str) -> Mapping[str, str]:
        value = found.get(key)
        if value is None:
            return NO_TEXTS
        place = join(prefix, f"metadata.{key}")
        if not isinstance(value, Mapping):
            problems.append(Problem(file, lines.get(place, 0), place, f"expected an object, got {_what(value)}"))
            return NO_TEXTS
        for name, item in value.items():
            if not isinstance(item, str):
                here = join(place, name)
                problems.append(Problem(file, lines.get(here, 0), here, f"expected a string, got {_what(item)}"))
        return MappingProxyType({name: str(item) for name, item in value.items()})

    return Document(
        file=file,
        api_version=str(body["apiVersion"]),
        kind=str(body["kind"]),
        namespace=text("namespace", DEFAULT_NAMESPACE),
        name=text("name", ""),
        labels=texts("labels"),
        annotations=texts("annotations"),
        body=body,
        lines=lines,
        prefix=prefix,
    )


def _what(value: object) -> str:
    """A value as an error message shows it: short, and never a whole document."""
    match value:
        case None:
            return "nothing"
        case Mapping():
            return "an object"
        case list():
            return "a list"
        case _:
            shown = repr(value)
            return shown if len(shown) <= 60 else shown[:57] + "..."


what = _what
