"""Shared events as bytes, many to a message. Pure.

    message = frame*            frame = kind (1 byte) · length (u32) · payload
    P       = text pool · text endpoint · block hashes (u64 each)
    L       = text pool · text pick id · (text endpoint · tokens (u32))*
    E       = text pool · text pick id
    S       = text pool · text endpoint · text id
    D       = seconds (f64) · text server
    F       = JSON of the feedback's fields
    text    = length (u16) · UTF-8

All numbers are little-endian. A frame of an unknown kind is skipped, so that replicas of two versions can share; one
that cannot be read ends the message.
"""

import struct
from collections.abc import Iterable, Iterator

import orjson

from epp.domain import (
    AnswerStored,
    EndpointId,
    Feedback,
    FeedbackForwarded,
    PickId,
    PickPlaced,
    PickSettled,
    PoolId,
    PrefixLearned,
    ServerDrained,
    SharedEvent,
)

_FRAME = struct.Struct("<cI")
_LENGTH = struct.Struct("<H")
_TOKENS = struct.Struct("<I")
_SECONDS = struct.Struct("<d")
_PREFIX, _FEEDBACK, _PLACED, _SETTLED, _STORED, _DRAINED = b"P", b"F", b"L", b"E", b"S", b"D"
# More blocks than any prompt has: 64k blocks of 16 tokens are a million tokens.
BLOCK_LIMIT = 65_536
# More endpoints than any request has: its primary, a prefill leg, and encoders.
LEG_LIMIT = 64
_MOST_TOKENS = 2**32 - 1


class MalformedError(ValueError):
    """A message that this version cannot read to its end."""


def encode(event: SharedEvent) -> bytes:
    """One frame."""
    match event:
        case PrefixLearned(pool, endpoint, blocks):
            shared = blocks[:BLOCK_LIMIT]
            payload = _text(pool) + _text(endpoint) + struct.pack(f"<{len(shared)}Q", *shared)
            return _FRAME.pack(_PREFIX, len(payload)) + payload
        case PickPlaced(pool, pick_id, legs):
            listed = (
                _text(endpoint) + _TOKENS.pack(min(tokens, _MOST_TOKENS)) for endpoint, tokens in legs[:LEG_LIMIT]
            )
            payload = _text(pool) + _text(pick_id) + b"".join(listed)
            return _FRAME.pack(_PLACED, len(payload)) + payload
        case PickSettled(pool, pick_id):
            payload = _text(pool) + _text(pick_id)
            return _FRAME.pack(_SETTLED, len(payload)) + payload
        case AnswerStored(pool, endpoint, stored_id):
            payload = _text(pool) + _text(endpoint) + _text(stored_id)
            return _FRAME.pack(_STORED, len(payload)) + payload
        case ServerDrained(server, seconds):
            payload = _SECONDS.pack(seconds) + _text(server)
            return _FRAME.pack(_DRAINED, len(payload)) + payload
        case FeedbackForwarded(feedback):
            payload = orjson.dumps(feedback._asdict())
            return _FRAME.pack(_FEEDBACK, len(payload)) + payload


def decode(message: bytes) -> tuple[SharedEvent, ...]:
    """Every event of a message; raises MalformedError."""
    try:
        return tuple(_events(message))
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise MalformedError(str(error)) from None


def join(frames: Iterable[bytes]) -> bytes:
    """Frames as one message."""
    return b"".join(frames)


def _events(message: bytes) -> Iterator[SharedEvent]:
    at = 0
    while at < len(message):
        kind, length = _FRAME.unpack_from(message, at)
        at += _FRAME.size
        payload = message[at : at + length]
        if len(payload) < length:
            raise MalformedError("a frame is cut")
        at += length
        if kind == _PREFIX:
            yield _prefix(payload)
        elif kind == _PLACED:
            yield _placed(payload)
        elif kind == _SETTLED:
            yield _settled(payload)
        elif kind == _STORED:
            yield _stored(payload)
        elif kind == _DRAINED:
            yield _drained(payload)
        elif kind == _FEEDBACK:
            yield FeedbackForwarded(_feedback(orjson.loads(payload)))


def _prefix(payload: bytes) -> PrefixLearned:
    pool, at = _read_text(payload, 0)
    endpoint, at = _read_text(payload, at)
    count, rest = divmod(len(payload) - at, 8)
    if rest or count > BLOCK_LIMIT:
        raise MalformedError("not a whole number of blocks")
    return PrefixLearned(PoolId(pool), EndpointId(endpoint), struct.unpack_from(f"<{count}Q", payload, at))


def _placed(payload: bytes) -> PickPlaced:
    pool, at = _read_text(payload, 0)
    pick_id, at = _read_text(payload, at)
    legs: list[tuple[EndpointId, int]] = []
    while at < len(payload):
        endpoint, at = _read_text(payload, at)
        (tokens,) = _TOKENS.unpack_from(payload, at)
        at += _TOKENS.size
        legs.append((EndpointId(endpoint), tokens))
        if len(legs) > LEG_LIMIT:
            raise MalformedError("more endpoints than a request has")
    return PickPlaced(PoolId(pool), PickId(pick_id), tuple(legs))


def _settled(payload: bytes) -> PickSettled:
    pool, at = _read_text(payload, 0)
    pick_id, at = _read_text(payload, at)
    if at != len(payload):
        raise MalformedError("a settlement has more than a pick")
    return PickSettled(PoolId(pool), PickId(pick_id))


def _stored(payload: bytes) -> AnswerStored:
    pool, at = _read_text(payload, 0)
    endpoint, at = _read_text(payload, at)
    stored_id, at = _read_text(payload, at)
    if at != len(payload):
        raise MalformedError("a stored answer has more than an id")
    return AnswerStored(PoolId(pool), EndpointId(endpoint), stored_id)


def _drained(payload: bytes) -> ServerDrained:
    (seconds,) = _SECONDS.unpack_from(payload, 0)
    server, at = _read_text(payload, _SECONDS.size)
    if at != len(payload) or not 0 <= seconds < float("inf"):
        raise MalformedError("not a drain")
    return ServerDrained(server, seconds)


def _feedback(fields: dict[str, object]) -> Feedback:
    """Checked by type, since another version wrote it."""
    known = {name: fields[name] for name in _FIELDS if name in fields}
    flags = known.pop("flags", ())
    if not isinstance(known.get("pick_id"), str) or not isinstance(flags, list | tuple):
        raise MalformedError("not a feedback")
    for name in _NUMBERS:
        value = known.get(name)
        if not isinstance(value, int | float | None) or (value is not None and value < 0):
            raise MalformedError(f"{name} is no count")
    if not isinstance(known.get("stored_id"), str | None):
        raise MalformedError("stored_id is no text")
    if not isinstance(known.get("is_streamed", False), bool):
        raise MalformedError("is_streamed is no truth")
    if known.get("attempts", 1) is None:
        raise MalformedError("attempts are missing")
    served, pick_id, pool = known.pop("served", None), str(known.pop("pick_id")), str(known.pop("pool", ""))
    return Feedback(
        pick_id=PickId(pick_id),
        pool=PoolId(pool),
        served=None if served is None else EndpointId(str(served)),
        flags=tuple(str(flag) for flag in flags),
        is_final=bool(known.pop("is_final")),
        **known,  # type: ignore[arg-type]  # numbers, checked above
    )


_FIELDS = Feedback._fields
_NUMBERS = (
    "status",
    "attempts",
    "failed_attempt",
    "ttft_seconds",
    "duration_seconds",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "response_bytes",
)


def _text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


def _read_text(payload: bytes, at: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(payload, at)
    start = at + _LENGTH.size
    if start + length > len(payload):
        raise MalformedError("a text is cut")
    return payload[start : start + length].decode(), start + length
