"""Fields of `multipart/form-data`, as the APIs for audio and images take them. Pure.

A file is stepped over by searching for the next boundary, never copied. Only short texts are read: names, numbers,
prompts. What does not follow the form ends the reading, with the fields until then: the model server judges the rest.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gateway.wire.protocol import CONTENT_ENCODING

FORM: Final = "multipart/form-data"
MOST_FIELDS: Final = 1000
LONGEST_FIELD: Final = 64 * 1024  # bytes; no prompt of these APIs is longer
LONGEST_HEAD: Final = 8 * 1024
MODEL: Final = "model"
_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_NAME: Final = re.compile(rb'(?:^|[;\s])name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE)
_FILE: Final = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)
_BLANK: Final = b"\r\n\r\n"
_DISPOSITION: Final = re.compile(rb"^content-disposition:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class Part(NamedTuple):
    """Where the value of a field stands."""

    name: str
    start: int
    end: int
    is_file: bool


def is_form(content_type: str) -> bool:
    """Whether a content type is that of a form with parts."""
    return content_type.partition(";")[0].strip().lower() == FORM


class ModelWatch:
    """Looks at a form as it arrives, until its model is there. It keeps no more than the part that it is in, and of a
    file only what may be the beginning of a boundary."""

    __slots__ = ("_delimiter", "_is_in_file", "_rest")

    def __init__(self, content_type: str) -> None:
        found = _BOUNDARY.search(content_type)
        self._delimiter = b"" if found is None else b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")
        self._rest = b"\r\n"  # so that the first boundary looks like the others
        self._is_in_file = True  # what stands in front of the first boundary counts for nothing, as a file does

    def receive(self, data: bytes) -> bool:
        """Take the next bytes; whether the model's field is complete."""
        if not self._delimiter:
            return False
        self._rest += data
        while (end := self._rest.find(self._delimiter)) >= 0:
            if not self._is_in_file and self._is_model(end):
                return True
            self._rest = self._rest[end + len(self._delimiter) :]
            self._is_in_file = False
        if not self._is_in_file:
            self._is_in_file = self._is_long()
        if self._is_in_file:
            self._rest = self._rest[-len(self._delimiter) :]
        return False

    def _is_model(self, end: int) -> bool:
        head, blank, _ = self._rest[:end].partition(_BLANK)
        return bool(blank) and any(part.name == MODEL and not part.is_file for part in _named(head, 0, 0))

    def _is_long(self) -> bool:
        """Whether the part is a file, or longer than any text that is read."""
        head, blank, _ = self._rest.partition(_BLANK)
        if not blank:
            return len(self._rest) > LONGEST_HEAD
        is_file = any(part.is_file for part in _named(head, 0, 0))
        return is_file or len(self._rest) > LONGEST_HEAD + LONGEST_FIELD


def model_watch(headers: Mapping[str, str]) -> ModelWatch | None:
    """For a request whose body is a form: its model says all that counts. What is compressed must be whole."""
    content_type = headers.get("content-type", "")
    return ModelWatch(content_type) if is_form(content_type) and CONTENT_ENCODING not in headers else None


def form_fields(content_type: str, body: bytes) -> Mapping[str, str]:
    """The texts of a form, by their names; of several of one name the last, as most servers read it."""
    return {
        part.name: body[part.start : part.end].decode("utf-8", "replace")
        for part in _parts(content_type, body)
        if not part.is_file and part.end - part.start <= LONGEST_FIELD
    }


def with_model(content_type: str, body: bytes, model: str) -> bytes:
    """The form with another model; every other byte stays."""
    for part in reversed([*_parts(content_type, body)]):
        if part.name == MODEL and not part.is_file:
            body = b"".join((body[: part.start], model.encode(), body[part.end :]))
    return body


def _parts(content_type: str, body: bytes) -> Iterator[Part]:
    found = _BOUNDARY.search(content_type)
    if found is None:
        return
    delimiter = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter)
    if at > 0:
        at += 2
    for _ in range(MOST_FIELDS):
        if at < 0:
            return
        at += len(delimiter)
        if not body.startswith(b"\r\n", at):  # `--` ends the form
            return
        head_end = body.find(_BLANK, at, at + LONGEST_HEAD)
        end = body.find(b"\r\n" + delimiter, max(at, head_end))
        if head_end < 0 or end < 0:
            return
        start = min(head_end + 4, end)
        yield from _named(body[at + 2 : head_end], start, end)
        at = end + 2


def _named(head: bytes, start: int, end: int) -> Iterator[Part]:
    disposition = _DISPOSITION.search(head)
    name = None if disposition is None else _NAME.search(disposition[1])
    if disposition is not None and name is not None:
        text = (name[1] if name[1] is not None else name[2]).decode("utf-8", "replace")
        yield Part(text, start, end, _FILE.search(disposition[1]) is not None)
