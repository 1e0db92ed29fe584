"""Shared events as bytes, many to a message. Pure.

    message = frame*            frame = kind (1 byte) · length (u32) · payload
    p       = stamp · pool · endpoint · block hashes (u64 each)             learned
    u       = stamp · start (u32) · pool · endpoint · block hashes         unlearned
    L       = pool · pick id · (endpoint · tokens (u32))*                   placed; after each leg an entry without
              endpoint where fewer of its tokens are prompt
    E       = pool · pick id                                                settled
    h       = beat · through · is listed (u32) · pool · run · pick numbers  heartbeat
    b       = stamp · pool · session · endpoint, empty for none             bound
    s       = stamp · has session (u32) · pool · endpoint · id · session    stored
    x, y    = stamp · pool · endpoint · run (· reason)                      ejected, returned
    v       = stamp · pool · endpoint · run · sums (f64 each)               speed
    D       = seconds (f64) · server                                       drained
    H       = pool · endpoint · (count (u32) · block hashes)*              held, in snapshots alone
    m       = pool · endpoint · run · JSON of the scrape                    scraped
    a       = pool · endpoint · JSON of the models' items                   models
    F       = JSON of the feedback's fields

Texts are u16 length · UTF-8, stamps and beats u64, all numbers little-endian. A frame of an unknown kind is skipped, so
that replicas of two versions can share; one that cannot be read ends the message. A kind never changes: what it has to
say more is a kind of its own. Releases with one stream for all pools wrote P (pool · endpoint · blocks) and S (pool ·
endpoint · id): these are still read, and written while such a replica writes.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from epp.domain import (
    AnswerStored,
    EndpointEjected,
    EndpointId,
    EndpointReturned,
    FeedbackForwarded,
    ModelsShared,
    PickId,
    PickPlaced,
    PickSettled,
    PoolId,
    PrefixesHeld,
    PrefixLearned,
    PrefixUnlearned,
    ReplicaAlive,
    RunId,
    ScrapeTaken,
    ServerDrained,
    SessionBound,
    SharedEvent,
    SpeedObserved,
)
from epp.sharing import feedback, scrapes
from epp.sharing.fields import Fields, MalformedError, count, number, numbers, reals, text

__all__ = ["BLOCK_LIMIT", "LEG_LIMIT", "MalformedError", "decode", "encode", "encode_earlier", "join"]

_FRAME: Final = struct.Struct("<cI")
# More blocks than any prompt has: 64k blocks of 16 tokens are a million tokens.
BLOCK_LIMIT = 65_536
# More endpoints than any request has: its primary, a prefill leg, and encoders.
LEG_LIMIT = 64
# More than a heartbeat lists.
PICKS_LIMIT = 65_536
# Some times what one message has, which ends with the event that fills it.
MESSAGE_LIMIT = 2**20
# More than one event of a snapshot has.
PARTS_LIMIT = 4096
SUMS_LIMIT = 64
SUMS_OF_LINE = 6
# Servers' words may be long.
REASON_LIMIT = 200
_MOST_TOKENS = 2**32 - 1


def encode(event: SharedEvent) -> bytes:
    """One frame."""
    kind, payload = _written(event)
    return _FRAME.pack(kind, len(payload)) + payload


def encode_earlier(event: SharedEvent) -> bytes | None:
    """One frame as releases with one stream for all pools read it; None for what they do not know."""
    match event:
        case PrefixLearned(pool, endpoint, blocks):
            kind, payload = b"P", text(pool) + text(endpoint) + numbers(blocks[:BLOCK_LIMIT])
        case AnswerStored(pool, endpoint, stored_id):
            kind, payload = b"S", text(pool) + text(endpoint) + text(stored_id)
        case FeedbackForwarded():
            return encode(event)
        case _:
            return None
    return _FRAME.pack(kind, len(payload)) + payload


def decode(message: bytes) -> tuple[SharedEvent, ...]:
    """Every event of a message; raises MalformedError."""
    if len(message) > MESSAGE_LIMIT:
        raise MalformedError(f"{len(message)} bytes are more than a replica writes in one message")
    try:
        return tuple(_events(message))
    except (struct.error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedError(str(error)) from None


def join(frames: Iterable[bytes]) -> bytes:
    """Frames as one message."""
    return b"".join(frames)


def _written(event: SharedEvent) -> tuple[bytes, bytes]:
    match event:
        case PickPlaced(pool, pick_id, legs, prompts):
            return b"L", text(pool) + text(pick_id) + b"".join(_legs(legs[:LEG_LIMIT], prompts))
        case PickSettled(pool, pick_id):
            return b"E", text(pool) + text(pick_id)
        case PrefixLearned(pool, endpoint, blocks, stamp):
            return b"p", number(stamp) + text(pool) + text(endpoint) + numbers(blocks[:BLOCK_LIMIT])
        case PrefixUnlearned(pool, endpoint, blocks, start, stamp):
            head = number(stamp) + count(start) + text(pool) + text(endpoint)
            return b"u", head + numbers(blocks[:BLOCK_LIMIT])
        case FeedbackForwarded(forwarded):
            return b"F", feedback.write(forwarded)
        case ReplicaAlive(pool, run, beat, through, live):
            head = number(beat) + number(through) + count(live is not None) + text(pool) + text(run)
            return b"h", head + numbers(live or ())
        case ScrapeTaken(pool, endpoint, run, found):
            return b"m", text(pool) + text(endpoint) + text(run) + scrapes.write(found)
        case _:
            return _rarely_written(event)


def _legs(legs: tuple[tuple[EndpointId, int], ...], prompts: tuple[int, ...]) -> Iterator[bytes]:
    for at, (endpoint, tokens) in enumerate(legs):
        yield text(endpoint) + count(min(tokens, _MOST_TOKENS))
        if prompts:
            yield text("") + count(min(prompts[at], _MOST_TOKENS))


Rare = (
    PrefixesHeld
    | ModelsShared
    | SessionBound
    | AnswerStored
    | EndpointEjected
    | EndpointReturned
    | SpeedObserved
    | ServerDrained
)


def _rarely_written(event: Rare) -> tuple[bytes, bytes]:
    match event:
        case SessionBound(pool, session, bound, stamp):
            return b"b", number(stamp) + text(pool) + text(session) + text(bound or "")
        case AnswerStored(pool, endpoint, stored_id, owner, stamp):
            head = number(stamp) + count(owner is not None) + text(pool) + text(endpoint)
            return b"s", head + text(stored_id) + text(owner or "")
        case EndpointEjected(pool, endpoint, run, reason, stamp):
            return b"x", number(stamp) + text(pool) + text(endpoint) + text(run) + text(reason[:REASON_LIMIT])
        case EndpointReturned(pool, endpoint, run, stamp):
            return b"y", number(stamp) + text(pool) + text(endpoint) + text(run)
        case ModelsShared(pool, endpoint, models):
            return b"a", text(pool) + text(endpoint) + scrapes.write_models(models)
        case PrefixesHeld(pool, endpoint, parts):
            return b"H", text(pool) + text(endpoint) + b"".join(count(len(each) // 8) + each for each in parts)
        case ServerDrained(server, seconds):
            return b"D", reals((seconds,)) + text(server)
        case SpeedObserved(pool, endpoint, run, lines, stamp):
            head = number(stamp) + text(pool) + text(endpoint) + text(run)
            return b"v", head + reals(tuple(each for line in lines for each in line))


def _events(message: bytes) -> Iterator[SharedEvent]:
    at = 0
    while at < len(message):
        kind, length = _FRAME.unpack_from(message, at)
        at += _FRAME.size
        payload = message[at : at + length]
        if len(payload) < length:
            raise MalformedError("a frame is cut")
        at += length
        read = _READERS.get(kind)
        if read is not None:
            fields = Fields(payload)
            yield read(fields)
            fields.end()


def _pool(fields: Fields) -> PoolId:
    return PoolId(fields.text())


def _endpoint(fields: Fields) -> EndpointId:
    return EndpointId(fields.text())


def _placed(fields: Fields) -> PickPlaced:
    pool, pick_id = _pool(fields), PickId(fields.text())
    legs: list[tuple[EndpointId, int]] = []
    prompts: list[int] = []
    while fields.left:
        endpoint, tokens = _endpoint(fields), fields.count()
        if endpoint:
            legs.append((endpoint, tokens))
        else:
            prompts.append(tokens)
        if max(len(legs), len(prompts)) > LEG_LIMIT:
            raise MalformedError("more endpoints than a request has")
    if len(prompts) not in (0, len(legs)):
        raise MalformedError("not a prompt for each endpoint")
    return PickPlaced(pool, pick_id, tuple(legs), tuple(prompts))


def _learned(fields: Fields) -> PrefixLearned:
    stamp = fields.number()
    return PrefixLearned(_pool(fields), _endpoint(fields), fields.numbers(BLOCK_LIMIT), stamp)


def _unlearned(fields: Fields) -> PrefixUnlearned:
    stamp, start = fields.number(), fields.count()
    return PrefixUnlearned(_pool(fields), _endpoint(fields), fields.numbers(BLOCK_LIMIT), start, stamp)


def _scraped(fields: Fields) -> ScrapeTaken:
    pool, endpoint, run = _pool(fields), _endpoint(fields), RunId(fields.text())
    return ScrapeTaken(pool, endpoint, run, scrapes.read(fields.rest()))


def _held(fields: Fields) -> PrefixesHeld:
    pool, endpoint = _pool(fields), _endpoint(fields)
    parts: list[bytes] = []
    while fields.left:
        parts.append(fields.raw(8 * fields.count()))
        if len(parts) > PARTS_LIMIT or len(parts[-1]) > 8 * BLOCK_LIMIT:
            raise MalformedError("more than an event has")
    return PrefixesHeld(pool, endpoint, tuple(parts))


def _alive(fields: Fields) -> ReplicaAlive:
    beat, through, is_listed = fields.number(), fields.number(), fields.count()
    pool, run, live = _pool(fields), RunId(fields.text()), fields.numbers(PICKS_LIMIT)
    return ReplicaAlive(pool, run, beat, through, live if is_listed else None)


def _drained(fields: Fields) -> ServerDrained:
    seconds = fields.real()
    if not 0 <= seconds < float("inf"):
        raise MalformedError("not a drain")
    return ServerDrained(fields.text(), seconds)


def _bound(fields: Fields) -> SessionBound:
    stamp, pool, session, endpoint = fields.number(), _pool(fields), fields.text(), _endpoint(fields)
    return SessionBound(pool, session, endpoint or None, stamp)


def _stored(fields: Fields) -> AnswerStored:
    stamp, has_session = fields.number(), fields.count()
    pool, endpoint, stored_id, session = _pool(fields), _endpoint(fields), fields.text(), fields.text()
    return AnswerStored(pool, endpoint, stored_id, session if has_session else None, stamp)


def _ejected(fields: Fields) -> EndpointEjected:
    stamp, pool, endpoint, run = fields.number(), _pool(fields), _endpoint(fields), RunId(fields.text())
    return EndpointEjected(pool, endpoint, run, fields.text(), stamp)


def _returned(fields: Fields) -> EndpointReturned:
    stamp, pool, endpoint, run = fields.number(), _pool(fields), _endpoint(fields), RunId(fields.text())
    return EndpointReturned(pool, endpoint, run, stamp)


def _speed(fields: Fields) -> SpeedObserved:
    stamp, pool, endpoint, run = fields.number(), _pool(fields), _endpoint(fields), RunId(fields.text())
    sums, size = fields.reals(SUMS_LIMIT), SUMS_OF_LINE
    lines = tuple(sums[at : at + size] for at in range(0, len(sums), size))
    return SpeedObserved(pool, endpoint, run, lines, stamp)


_READERS: Final[Mapping[bytes, Callable[[Fields], SharedEvent]]] = MappingProxyType({
    b"L": _placed,
    b"E": lambda fields: PickSettled(_pool(fields), PickId(fields.text())),
    b"p": _learned,
    b"u": _unlearned,
    b"F": lambda fields: FeedbackForwarded(feedback.read(fields.rest())),
    b"h": _alive,
    b"b": _bound,
    b"s": _stored,
    b"x": _ejected,
    b"y": _returned,
    b"v": _speed,
    b"D": _drained,
    b"H": _held,
    b"m": _scraped,
    b"a": lambda fields: ModelsShared(_pool(fields), _endpoint(fields), scrapes.read_models(fields.rest())),
    b"P": lambda fields: PrefixLearned(_pool(fields), _endpoint(fields), fields.numbers(BLOCK_LIMIT)),
    b"S": lambda fields: AnswerStored(_pool(fields), _endpoint(fields), fields.text()),
})  # fmt: skip
