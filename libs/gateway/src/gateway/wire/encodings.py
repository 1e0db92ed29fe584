"""Bodies that clients send compressed, read within a limit. Pure.

gzip and deflate, which the standard library has. A body of another encoding is refused by name, and one that would
become too large is refused before it is whole.
"""

import zlib
from collections.abc import Mapping
from typing import Final

from gateway.wire import refusals
from gateway.wire.errors import Rejection
from gateway.wire.protocol import CONTENT_ENCODING, DEFAULT_BODY_LIMIT_BYTES

# Decoding so much takes 60 ms of a service that does one thing at a time; a prompt is text, and small.
DECODED_LIMIT_BYTES: Final = DEFAULT_BODY_LIMIT_BYTES
_GZIP: Final = frozenset(("gzip", "x-gzip"))
_NONE: Final = frozenset(("", "identity"))
# How zlib is told of a format: gzip's and its own header, or none.
_WINDOW_GZIP, _WINDOW_ZLIB, _WINDOW_RAW = 31, 15, -15
_ZLIB_METHOD: Final = 8


def decoded(headers: Mapping[str, str], body: bytes, limit: int = DECODED_LIMIT_BYTES) -> bytes | Rejection:
    """The body as it was before it was compressed, by the headers' word."""
    written = headers.get(CONTENT_ENCODING)
    if written is None:
        return body
    found: bytes | Rejection = body
    for encoding in reversed([word.strip().lower() for word in written.split(",")]):
        if isinstance(found, Rejection):
            return found
        if encoding in _NONE or not found:
            continue
        if encoding in _GZIP:
            found = _inflated(found, _WINDOW_GZIP, limit)
        elif encoding == "deflate":
            found = _inflated(found, _WINDOW_ZLIB if _has_zlib_header(found) else _WINDOW_RAW, limit)
        else:
            return refusals.unsupported_encoding(encoding)
    return found


def _inflated(body: bytes, window: int, limit: int) -> bytes | Rejection:
    parts: list[bytes] = []
    size = 0
    while body:  # gzip allows several members in a row
        machine = zlib.decompressobj(window)
        try:
            part = machine.decompress(body, limit - size + 1)
        except zlib.error as error:
            return refusals.not_decodable(str(error))
        parts.append(part)
        size += len(part)
        if size > limit:
            return refusals.too_large(limit)
        if not machine.eof:
            return refusals.not_decodable("it is not whole")
        body = machine.unused_data
    return b"".join(parts)


def _has_zlib_header(body: bytes) -> bool:
    """Clients write deflate with zlib's header, as the standard says, and some without."""
    return len(body) > 1 and body[0] & 0x0F == _ZLIB_METHOD and int.from_bytes(body[:2], "big") % 31 == 0
