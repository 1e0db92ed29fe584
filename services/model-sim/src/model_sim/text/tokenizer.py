"""Text to token ids and back, without a vocabulary file.

A piece is a leading space or alphanumeric with up to four alphanumerics after it (English prose: about 3.7 characters
a token), up to two characters below U+4000 (Cyrillic, Greek, Arabic, kana: two a token), or one other character
(Chinese: one a token). The id holds the piece itself in 32 bits, so every id sequence decodes and nothing is lost.
Pieces never cross the chat template's markers: a conversation that quotes an earlier answer gets the same ids for it.
"""

import re
from collections.abc import Sequence
from typing import Protocol

MARKERS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_PIECE = re.compile(
    "|".join(map(re.escape, MARKERS)) + r"|[ A-Za-z0-9][A-Za-z0-9]{0,4}|[\x80-\u3fff]{1,2}|.", re.DOTALL
)
_ALPHABET = " ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_CODES = {character: code for code, character in enumerate(_ALPHABET, start=1)}
_WORD, _PAIR, _MARKER = 1 << 30, 2 << 30, 3 << 30
_PAYLOAD = _WORD - 1
_REPLACEMENT = "\ufffd"
CACHED_PIECES = 65536
"""A few megabytes; real text repeats its pieces, hostile text only clears the cache."""


class Tokenizer(Protocol):
    """What the API needs from a tokenizer."""

    @property
    def end_of_turn(self) -> int:
        """The token with which an answer that stops by itself ends."""
        ...

    def encode(self, text: str) -> list[int]: ...

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """The text each token adds; their concatenation is the decoded text."""
        ...


class BuiltinTokenizer:
    """The tokenizer described above. Holds only a cache."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    @property
    def end_of_turn(self) -> int:
        return _MARKER | 1

    def encode(self, text: str) -> list[int]:
        ids = self._ids
        pieces = _PIECE.findall(text)
        try:
            return [ids[piece] for piece in pieces]
        except KeyError:
            if len(ids) > CACHED_PIECES:
                ids.clear()
            found = {piece: _piece_id(piece) for piece in set(pieces)}
            if len(found) < CACHED_PIECES:
                ids.update(found)
            return [found[piece] for piece in pieces]

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        return [_piece(token) for token in tokens]


def _piece_id(piece: str) -> int:
    if piece in MARKERS:
        return _MARKER | MARKERS.index(piece)
    if piece[0] in _CODES:
        value = 0
        for character in reversed(piece):
            value = value << 6 | _CODES[character]
        return _WORD | value
    if len(piece) == 2:
        return _PAIR | ord(piece[0]) << 15 | ord(piece[1])
    return ord(piece)


def _piece(token: int) -> str:
    kind, payload = token & ~_PAYLOAD, token & _PAYLOAD
    if kind == _WORD:
        characters = []
        while payload:
            characters.append(_ALPHABET[(payload & 63) - 1])
            payload >>= 6
        return "".join(characters)
    if kind == _PAIR:
        return chr(payload >> 15) + chr(payload & 0x7FFF)
    if kind == _MARKER:
        return MARKERS[payload] if payload < len(MARKERS) else _REPLACEMENT
    if kind == 0 and payload <= 0x10FFFF and not 0xD800 <= payload <= 0xDFFF:
        return chr(payload)
    return _REPLACEMENT
