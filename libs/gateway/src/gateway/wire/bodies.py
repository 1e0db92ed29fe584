"""How much structure a JSON body may have, found before anything is built from it. Pure.

A parser builds an object for every value: 16 MiB of `[],[],…` become 500 MB and take 0.4 s, or 4 s with the garbage
collector on. The marks are counted instead, in a few passes of C over the bytes, which cost a tenth of such a parse and
less than the parse of any large body. Up to `SMALL_BYTES` the size itself is bound enough, so that ordinary requests
pay nothing. Depth needs no count: the parser refuses more than 1024 levels before it builds them.
"""

from typing import Final

from gateway.wire import refusals
from gateway.wire.errors import Rejection

# The worst structure of so many bytes takes a parser 10 ms and 15 MB.
SMALL_BYTES: Final = 512 * 1024
# Objects, lists, keys and strings together. Transcripts of agents have one in 120 bytes: 16 MiB of them fit.
# So many take a parser 20 ms and 30 MB at most.
STRUCTURE_LIMIT: Final = 200_000
# Items and members, numbers among them: prompts of token ids have one in six bytes. So many take a parser 90 ms and
# 50 MB at most.
ITEM_LIMIT: Final = 1_500_000

# Hostile bodies are mostly found out by their beginning.
BEGINNING_BYTES: Final = 1024 * 1024
# Marks that are so many bytes apart are counted faster than all bytes are looked at.
SPARSE: Final = 16

_MARKS: Final = b'[{,"'
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _MARKS)


def refusal_of_structure(body: bytes) -> Rejection | None:
    """A refusal if a parser would build too much of the body, or None. Text in a body is no structure."""
    if len(body) <= SMALL_BYTES:
        return None
    beginning = body[:BEGINNING_BYTES]
    if not _is_bounded(*counts(beginning)):
        return refusals.too_much_structure()
    is_sparse = sum(_at_most(beginning)) * SPARSE < BEGINNING_BYTES
    if is_sparse and _is_bounded(*_at_most(body)):
        return None
    return None if _is_bounded(*counts(body)) else refusals.too_much_structure()


def _is_bounded(structure: int, items: int) -> bool:
    return structure <= STRUCTURE_LIMIT and items <= ITEM_LIMIT


def _at_most(body: bytes) -> tuple[int, int]:
    """As `counts`, with what stands in strings: as fast as memory is read where there is little of it."""
    return body.count(b'"') // 2 + body.count(b"[") + body.count(b"{"), body.count(b",")


def counts(body: bytes) -> tuple[int, int]:
    """Objects, lists and strings of a body, and its commas. What follows an error in malformed JSON may be miscounted:
    no parser gets that far.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = body.translate(None, _OTHERS)
    outside = b"".join(marks.split(b'"')[::2])
    containers = outside.count(b"[") + outside.count(b"{")
    strings = (marks.count(b'"') + 1) // 2
    return strings + containers, len(outside) - containers
