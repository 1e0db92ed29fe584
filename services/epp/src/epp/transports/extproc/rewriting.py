"""Answers on their way back, where the gateway streams them through the picker. Pure.

A model that was rewritten gets the client's name again, in fields named `model` and nowhere else: text in answers has
its quotation marks escaped, so a field's bytes cannot stand in it. Token usage that was asked of the model server for
accounting, and not by the client, is taken out of event streams. Chunks may be cut anywhere: what may be the beginning
of such a place waits for the next chunk, everything else goes on at once.
"""

import json
import re
from typing import Final

import orjson

# `stream_options` in front of the first member: of repeated keys the last counts, and this one is only written where
# the body has none.
_ASK: Final = b'{"stream_options":{"include_usage":true},'
_STREAM: Final = b'"stream'
_OPTIONS: Final = b'"stream_options"'
_STREAMS: Final = re.compile(rb'"stream"\s*:\s*true')
_STREAMED_APIS: Final = ("/completions",)  # chat and completions; the other APIs always report usage
_KEY: Final = b'"model"'
# A larger event is no usage.
LARGEST_EVENT: Final = 64 * 1024
_EVENT_END: Final = re.compile(rb"\r?\n\r?\n")
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_WHITESPACE: Final = b" \t\r\n"
# Between a key, its colon and its value; no engine writes more.
MOST_WHITESPACE: Final = 16


def with_usage_option(path: str, body: bytes) -> bytes | None:
    """The body with a wish for usage, or None where it needs none: no stream, or the client says what it wants."""
    if not path.partition("?")[0].endswith(_STREAMED_APIS):
        return None
    is_streamed = False
    at = body.find(_STREAM)  # one pass for both keys: a prompt may be megabytes
    while at >= 0:
        if body.startswith(_OPTIONS, at):
            return None
        is_streamed = is_streamed or _STREAMS.match(body, at) is not None
        at = body.find(_STREAM, at + 1)
    start = body.find(b"{")
    if start < 0 or not is_streamed:
        return None
    return body[:start] + _ASK + body[start + 1 :]


class ModelNames:
    """Gives the client's name back."""

    __slots__ = ("_held", "_longest", "_pattern", "_values", "_written")

    def __init__(self, served: str, named: str) -> None:
        self._values = tuple({orjson.dumps(served), json.dumps(served).encode()})  # engines differ in their escapes
        values = b"|".join(map(re.escape, self._values))
        self._pattern = re.compile(rb'("model"[ \t\r\n]*:[ \t\r\n]*)(?:' + values + rb")")
        self._written = orjson.dumps(named)
        self._longest = len(_KEY) + 2 * MOST_WHITESPACE + max(map(len, self._values))
        self._held = b""

    def receive(self, data: bytes, *, is_last: bool) -> bytes:
        """Take a chunk; what goes on now."""
        data = self._pattern.sub(lambda found: found[1] + self._written, self._held + data)
        at = len(data) if is_last else self._beginning(data)
        self._held = data[at:]
        return data[:at]

    def _beginning(self, data: bytes) -> int:
        """Where the end of the data may be the beginning of a field."""
        at = data.find(b'"', max(0, len(data) - self._longest))
        while at >= 0:
            if self._may_begin(data[at:]):
                return at
            at = data.find(b'"', at + 1)
        return len(data)

    def _may_begin(self, text: bytes) -> bool:
        if len(text) <= len(_KEY):
            return _KEY.startswith(text)
        if not text.startswith(_KEY):
            return False
        rest = text[len(_KEY) :].lstrip(_WHITESPACE)
        if not rest.startswith(b":"):
            return not rest
        value = rest[1:].lstrip(_WHITESPACE)
        return any(each.startswith(value) for each in self._values)


class UsageEvents:
    """Takes the event out that has usage and no choice."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes, *, is_last: bool) -> bytes:
        """Take a chunk; what goes on now: whole events, in their bytes."""
        data = self._held + data
        events: list[bytes] = []
        at = 0
        for end in _EVENT_END.finditer(data):
            event = data[at : end.end()]
            at = end.end()
            if not _is_usage(event):
                events.append(event)
        self._held = data[at:]
        if is_last or len(self._held) > LARGEST_EVENT:
            if not (is_last and _is_usage(self._held)):
                events.append(self._held)
            self._held = b""
        return b"".join(events)


def _is_usage(event: bytes) -> bool:
    if b'"usage"' not in event or not _NO_CHOICES.search(event):
        return False
    return event.lstrip().startswith(b"data:")


class AnswerRewriting:
    """What one answer goes through."""

    __slots__ = ("_models", "_usage")

    def __init__(self, models: ModelNames | None, *, hides_usage: bool) -> None:
        self._models = models
        self._usage = UsageEvents() if hides_usage else None

    def begin(self, content_type: str, content_encoding: str) -> bool:
        """Whether an answer of this kind can be changed; asked once, with its headers."""
        is_stream = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        if not is_stream:
            self._usage = None
        if content_encoding.strip().lower() not in ("", "identity"):
            self._models = self._usage = None
        return self._models is not None or self._usage is not None

    def receive(self, data: bytes, *, is_last: bool) -> bytes:
        """Take a chunk; what goes on now."""
        if self._models is not None:
            data = self._models.receive(data, is_last=is_last)
        if self._usage is not None:
            data = self._usage.receive(data, is_last=is_last)
        return data
