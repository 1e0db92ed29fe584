"""Feedback from the response phases of ext_proc, for gateways that send no access log. Pure.

Bodies are only looked at, in a bounded tail: the usage of an answer stands near its end, in JSON and in event streams.
"""

import re
from typing import Final

import orjson

from epp.domain import TOKEN_LIMIT, EndpointId, Feedback, Pick, stored_id_of
from gateway.extproc.protocol.messages import BodyReceived, Event, HeadersReceived
from gateway.wire.protocol import DESTINATION_SERVED, LB_NAMESPACE
from gateway.wire.usage import whole_prompt

# The last event of a stream and the `usage` of an answer fit many times over.
TAIL_BYTES = 16 * 1024
# The id of a stored response stands at the very beginning.
HEAD_BYTES = 1024
_ID = re.compile(rb'"id"\s*:\s*"([^"\\]*)"')
_USAGE = b'"usage"'
# The names in chat and completions, then those in responses and messages.
_PROMPT, _COMPLETION = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
_DETAILS = ("prompt_tokens_details", "input_tokens_details")
# What the messages API counts beside `input_tokens`: found in the cache, and put there for later requests.
_CACHE_READ, _CACHE_CREATION = "cache_read_input_tokens", "cache_creation_input_tokens"
# What else stands near the end under this name is tried a few times, not as often as fits.
_TRIES = 4
# The header that the conformance suite reads, and what stands there where the proxy names no endpoint.
SERVED_REPORT: Final = "x-conformance-test-served-endpoint"
UNREPORTED: Final = "fail: missing destination endpoint served metadata"
# Statuses that a gateway gives when no endpoint served the request.
_NOT_SERVED = frozenset((502, 503, 504))


class ResponseWatch:
    """Collects while the response passes."""

    __slots__ = ("_first_body_at", "_head", "_served", "_status", "_stored_id", "_tail")

    def __init__(self) -> None:
        self._status: int | None = None
        self._served: EndpointId | None = None
        self._first_body_at: float | None = None
        self._head: bytes | None = b""  # None once it was read
        self._stored_id: str | None = None
        self._tail = b""

    def receive(self, event: Event, now: float) -> None:
        """Take a response message."""
        match event:
            case HeadersReceived(headers=headers, metadata=metadata):
                status = headers.get(":status", headers.get("status", ""))
                self._status = int(status) if status.isdecimal() else None
                served = metadata.get(LB_NAMESPACE, {}).get(DESTINATION_SERVED)
                self._served = EndpointId(served) if isinstance(served, str) and served else None
            case BodyReceived(data=data) if data:
                self._first_body_at = now if self._first_body_at is None else self._first_body_at
                self._tail = (self._tail + data)[-TAIL_BYTES:]
                if self._head is not None:
                    self._read_head(data)

    @property
    def served(self) -> EndpointId | None:
        """The endpoint that answers, where the proxy names it."""
        return self._served

    @property
    def has_stored_id(self) -> bool:
        """The server keeps the answer under an id."""
        return self._stored_id is not None

    def feedback(self, pick: Pick, picked_at: float, now: float, *, is_final: bool = True) -> Feedback:
        """All that was seen."""
        prompt, completion, cached = usage(self._tail)
        served = self._served
        if served is None and self._status is not None and self._status not in _NOT_SERVED:
            served = pick.targets[0]  # few gateways name it, and all begin with the first of the list
        return Feedback(
            pick_id=pick.id,
            pool=pick.pool,
            is_final=is_final,
            served=served,
            status=self._status,
            ttft_seconds=None if self._first_body_at is None else self._first_body_at - picked_at,
            duration_seconds=now - picked_at,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            stored_id=self._stored_id,
        )

    def _read_head(self, data: bytes) -> None:
        head = (self._head or b"") + data[:HEAD_BYTES]
        found = _ID.search(head)
        if found is not None:
            self._stored_id = stored_id_of(found[1].decode("utf-8", "replace"))
        self._head = head if found is None and len(head) < HEAD_BYTES else None


def usage(tail: bytes) -> tuple[int | None, int | None, int | None]:
    """Prompt, completion and cached tokens of the last `usage` object in the end of a body."""
    found = _last_object(tail)
    prompt, completion = _count(_named(found, *_PROMPT)), _count(_named(found, *_COMPLETION))
    if (read := _count(found.get(_CACHE_READ))) is not None:
        return whole_prompt(prompt, read, _count(found.get(_CACHE_CREATION))), completion, read
    details = _named(found, *_DETAILS)
    return prompt, completion, _count(details.get("cached_tokens") if isinstance(details, dict) else None)


def _named(found: dict[str, object], first: str, second: str) -> object:
    return found[first] if first in found else found.get(second)


def _last_object(tail: bytes) -> dict[str, object]:
    end = len(tail)
    for _ in range(_TRIES):
        at = tail.rfind(_USAGE, 0, end)
        if at < 0:
            break
        start = tail.find(b"{", at)
        colon = tail[at + len(_USAGE) : start].strip() if start >= 0 else b""
        found = _object_at(tail, start) if colon == b":" else None
        if found is not None:
            return found
        end = at
    return {}


def _object_at(text: bytes, start: int) -> dict[str, object] | None:
    depth = 0
    for at in range(start, len(text)):
        depth += {0x7B: 1, 0x7D: -1}.get(text[at], 0)
        if depth == 0:
            try:
                found = orjson.loads(text[start : at + 1])
            except orjson.JSONDecodeError:
                return None
            return found if isinstance(found, dict) else None
    return None


def _count(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < TOKEN_LIMIT else None
