"""What workers of one host write to each other's sockets. Pure.

    question = JSON · newline          which pool, and from where: one for each connection
    answer   = hello record*
    record   = kind (1 byte) · number (u64) · seconds (f64) · length (u32) · body

`h` names the run that answers, `m` is a message of the codec, `g` says that something before is lost, `e` ends a
snapshot; a follower's answer has no end. Both ends are of one release, so nothing is versioned.
"""

import struct
from dataclasses import dataclass
from typing import Final

import orjson

from epp.domain import PoolId
from epp.sharing.fields import MalformedError

RECORD: Final = struct.Struct("<cQdI")
HELLO, MESSAGE, GAP, END = b"h", b"m", b"g", b"e"
# The longest name of a pool has 317 characters.
QUESTION_LIMIT: Final = 4096
# The outbox fills a message up to 256 KiB, and one event may have 64k block hashes.
BODY_LIMIT: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Question:
    """A follower's: what was published after message `after` of `run`, for ever. A snapshot's: what is kept, and with
    `wants_all` also all that the worker knows."""

    pool: PoolId
    is_snapshot: bool = False
    wants_all: bool = False
    run: str = ""
    after: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    kind: bytes
    number: int = 0
    seconds: float = 0.0
    body: bytes = b""


def write_question(question: Question) -> bytes:
    """One line."""
    return orjson.dumps(question, option=orjson.OPT_APPEND_NEWLINE)


def read_question(line: bytes) -> Question:
    """Raises MalformedError."""
    try:
        found = Question(**orjson.loads(line))
    except (TypeError, ValueError) as error:
        raise MalformedError(str(error)) from None
    after: object = found.after
    texts: tuple[object, ...] = (found.pool, found.run)
    if not isinstance(after, int) or after < 0 or not all(isinstance(each, str) for each in texts):
        raise MalformedError(f"no question: {line[:80]!r}")
    return found


def write(record: Record) -> bytes:
    """One record."""
    return RECORD.pack(record.kind, record.number, record.seconds, len(record.body)) + record.body


def read_head(head: bytes) -> tuple[Record, int]:
    """A record without its body, and that body's length. Raises MalformedError."""
    kind, number, seconds, length = RECORD.unpack(head)
    if kind not in (HELLO, MESSAGE, GAP, END) or length > BODY_LIMIT:
        raise MalformedError(f"no record: {head!r}")
    return Record(kind, number, seconds), length
