"""Pictures and sound of a prompt: their tokens, from their size, and the hash that stands for them. Pure.

The canonical prompt holds a medium as its hash, repeated over as many bytes as its tokens have in text: equal media
match block by block, and lengths stay comparable. Sizes are read from the first bytes of base64 data, never by decoding
a picture. What is no picture, or is only linked to, counts by a constant.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from struct import unpack_from
from typing import Final

import xxhash

from epp.prompts.families import Family, Pictures

# Of data that shows no size: a broken picture is refused by the engine, and costs it nothing.
UNREADABLE_TOKENS: Final = 4
# A linked picture has not been loaded yet; most are about this large.
LINKED_SIZE: Final = (1024, 1024)
LINKED_SECONDS: Final = 10.0
# Base64 characters that are searched for a JPEG's size: it stands behind its metadata, in up to 64 segments.
_JPEG_SEGMENTS: Final = 64
_HEAD_BYTES: Final = 48
# No dimension is larger: PNG's field would allow 2 billion pixels, and products stay sane.
_LARGEST_SIDE: Final = 65_535
# Bytes of one second of compressed sound (128 kbit/s), where no header tells more.
_COMPRESSED_BYTES_PER_SECOND: Final = 16_000
# An hour of sound is more than any engine takes.
_LONGEST_SECONDS: Final = 3600.0


def hash_of(pieces: Sequence[str]) -> bytes:
    """16 bytes for one medium, whichever API brought it."""
    hasher = xxhash.xxh3_128()
    for piece in pieces:
        hasher.update(piece.encode("utf-8", "surrogatepass"))
    return hasher.digest()


def picture_tokens(url: str, family: Family) -> int:
    """Tokens of a picture by its URL: a `data:` URL is looked into, another one is not."""
    if not url.startswith("data:"):
        return tokens_of_size(*LINKED_SIZE, family.pictures) if url else UNREADABLE_TOKENS
    comma = url.find(",", 0, 200)
    size = picture_size(url, comma + 1) if comma > 0 else None
    return tokens_of_size(*size, family.pictures) if size else UNREADABLE_TOKENS


def base64_picture_tokens(data: str, family: Family) -> int:
    """Tokens of a picture by its base64 data."""
    size = picture_size(data, 0)
    return tokens_of_size(*size, family.pictures) if size else UNREADABLE_TOKENS


def sound_tokens(data: str, family: Family) -> int:
    """Tokens of base64 sound, by its length."""
    head = _decoded(data, 0, 0, _HEAD_BYTES)
    if len(head) < 12:
        return UNREADABLE_TOKENS
    rate = _COMPRESSED_BYTES_PER_SECOND
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and len(head) >= 32:
        rate = max(1, unpack_from("<I", head, 28)[0])
    seconds = min(len(data) * 3 / 4 / rate, _LONGEST_SECONDS)
    return max(1, round(seconds * family.audio_tokens_per_second))


def linked_sound_tokens(family: Family) -> int:
    """Tokens of sound that is only linked to."""
    return round(LINKED_SECONDS * family.audio_tokens_per_second)


def tokens_of_size(width: int, height: int, pictures: Pictures) -> int:
    """Tokens of a picture of so many pixels."""
    if pictures.tile:
        columns, rows = -(-width // pictures.tile), -(-height // pictures.tile)
        return pictures.fixed * (min(columns * rows, pictures.most_tiles) + 1)
    if pictures.fixed:
        return pictures.fixed
    if pictures.longest_side and max(width, height) > pictures.longest_side:
        scale = pictures.longest_side / max(width, height)
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
    tokens = -(-width // pictures.pixels) * -(-height // pictures.pixels)
    return max(pictures.least, min(tokens, pictures.most))


def picture_size(data: str, start: int) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG, GIF, WebP or JPEG in base64 from `start`, or None."""
    head = _decoded(data, start, 0, _HEAD_BYTES)
    if len(head) < 24:
        return None
    size = _header_size(head)
    if size is None and head[:3] == b"\xff\xd8\xff":
        size = _jpeg_size(data, start)
    if size is None or not (0 < size[0] <= _LARGEST_SIDE and 0 < size[1] <= _LARGEST_SIDE):
        return None
    return size


def _header_size(head: bytes) -> tuple[int, int] | None:
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = unpack_from(">II", head, 16)
        return width, height
    if head[:6] in (b"GIF87a", b"GIF89a"):
        width, height = unpack_from("<HH", head, 6)
        return width, height
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp_size(head)
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8 ":
            width, height = unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            bits = unpack_from("<I", head, 21)[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return (
                int.from_bytes(head[24:27], "little") + 1,
                int.from_bytes(head[27:30], "little") + 1,
            )
    return None


def _jpeg_size(data: str, start: int) -> tuple[int, int] | None:
    for marker, segment in _jpeg_segments(data, start):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = unpack_from(">HH", segment, 5)
            return width, height
    return None


def _jpeg_segments(data: str, start: int) -> Iterator[tuple[int, bytes]]:
    """Markers with their first bytes; each segment says how long it is, so that none is decoded whole."""
    at = 2
    for _ in range(_JPEG_SEGMENTS):
        segment = _decoded(data, start, at, 9)
        if len(segment) < 9 or segment[0] != 0xFF:
            return
        yield segment[1], segment
        at += 2 + max(2, unpack_from(">H", segment, 2)[0])


def _decoded(data: str, start: int, at: int, count: int) -> bytes:
    """Bytes `at` to `at + count` of base64 text; fewer where it ends, none where it is no base64."""
    first = start + at // 3 * 4
    skipped = at % 3
    text = data[first : first + -(-(count + skipped) // 3) * 4]
    try:
        return a2b_base64(text.encode("ascii", "replace") + b"=" * (-len(text) % 4))[skipped : skipped + count]
    except Base64Error:
        return b""
