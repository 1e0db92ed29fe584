"""What an API server answers becomes pages, events and errors, with each object as an entry. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from gateway.kube.reading.contents import Entry, cluster_entry
from gateway.kube.sources.cluster.reflector import Event, EventType, Item, Page
from gateway.schema.wording import what
from gateway.schema.yamltext import Pause, no_pause

MAX_LINE_BYTES: Final = 16 * 1024 * 1024  # of one event; an object has 1.5 MiB in etcd, and some times that as JSON
LONGEST_MESSAGE: Final = 300  # characters of an error, for logs


T = TypeVar("T")
Read = Callable[[dict[str, object]], Item[T] | None]  # an object as it came; None for what is no object


class UnreadableError(Exception):
    """An answer that is not what the API gives. The text says what it is."""


class Origin(NamedTuple):
    """What the items of a list do not say of themselves."""

    api_version: str
    kind: str


class ErrorEvent(NamedTuple):
    """A watch that ends with an error."""

    status: int
    message: str


def entry(data: dict[str, object]) -> Item[Entry] | None:
    """An object as this project's readers take it."""
    found = cluster_entry(data)
    return None if found is None else Item(found.identity, found)


def page(body: bytes, origin: Origin, read: Read[T], pause: Pause = no_pause) -> Page[T]:
    """A list, or a part of one."""
    data = _object(body)
    metadata, items = data.get("metadata"), data.get("items")
    if not isinstance(metadata, dict) or not isinstance(items, list | None):
        raise UnreadableError("a list without metadata or items")
    return Page(
        tuple(_items(items or [], origin, read, pause)),
        str(metadata.get("resourceVersion") or ""),
        str(metadata.get("continue") or ""),
    )


def event(line: bytes, origin: Origin, read: Read[T]) -> Event[T] | ErrorEvent:
    """One line of a watch."""
    data = _object(line)
    written, found = data.get("type"), data.get("object")
    if not isinstance(found, dict):
        raise UnreadableError(f"an event without an object: {what(found)}")
    if written == "ERROR":
        code = found.get("code")
        return ErrorEvent(code if isinstance(code, int) else 500, _message(found))
    try:
        type_ = EventType(str(written))
    except ValueError:
        raise UnreadableError(f"an event of unknown type {what(written)}") from None
    metadata = found.get("metadata")
    version = str(metadata.get("resourceVersion") or "") if isinstance(metadata, dict) else ""
    return Event(type_, None if type_ is EventType.BOOKMARK else _item(found, origin, read), version)


def stored(body: bytes) -> dict[str, Any]:
    """An object as the server has it, with the version that it has there."""
    data = _object(body)
    metadata = data.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("resourceVersion"):
        raise UnreadableError("an object without a version")
    return data


def message(body: bytes) -> str:
    """Why a request was refused, in the server's words."""
    try:
        return _message(_object(body))
    except UnreadableError:
        return body[:LONGEST_MESSAGE].decode(errors="replace").strip()


class Lines:
    """Bytes as they come, cut into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that are whole by now."""
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            found = bytes(self._rest) + line
            self._rest.clear()
            if found.strip():
                yield found
        self._rest += rest
        if len(self._rest) > MAX_LINE_BYTES:
            raise UnreadableError(f"a line of more than {MAX_LINE_BYTES} bytes")


def _items(items: list[object], origin: Origin, read: Read[T], pause: Pause) -> Iterator[Item[T]]:
    for data in items:
        found = _item(data, origin, read) if isinstance(data, dict) else None
        if found is not None:
            yield found
        pause()


def _item(data: dict[str, object], origin: Origin, read: Read[T]) -> Item[T] | None:
    data.setdefault("apiVersion", origin.api_version)
    data.setdefault("kind", origin.kind)
    return read(data)


def _object(text: bytes) -> dict[str, object]:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"no JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnreadableError(f"expected an object, got {what(data)}")
    return data


def _message(status: Mapping[str, object]) -> str:
    return str(status.get("message") or status.get("reason") or "")[:LONGEST_MESSAGE]
