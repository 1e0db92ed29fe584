"""Fields of a frame, little-endian, read with every length checked. Pure."""

import struct
from typing import Any, Final

_LENGTH: Final = struct.Struct("<H")
_COUNT: Final = struct.Struct("<I")
_NUMBER: Final = struct.Struct("<Q")
_REAL: Final = struct.Struct("<d")


class MalformedError(ValueError):
    """Bytes that this version cannot read to their end."""


def text(value: str) -> bytes:
    """length (u16) · UTF-8."""
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


def count(value: int) -> bytes:
    """A u32."""
    return _COUNT.pack(value)


def number(value: int) -> bytes:
    """A u64."""
    return _NUMBER.pack(value)


def numbers(values: tuple[int, ...]) -> bytes:
    """Any number of u64."""
    return struct.pack(f"<{len(values)}Q", *values)


def reals(values: tuple[float, ...]) -> bytes:
    """Any number of f64."""
    return struct.pack(f"<{len(values)}d", *values)


class Fields:
    """Reads a payload from its beginning; raises MalformedError where it is too short."""

    __slots__ = ("_at", "_payload")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that are not read."""
        return len(self._payload) - self._at

    def text(self) -> str:
        """See the function of that name."""
        (length,) = self._take(_LENGTH)
        start, self._at = self._at, self._at + length
        if self._at > len(self._payload):
            raise MalformedError("a text is cut")
        return self._payload[start : self._at].decode()

    def count(self) -> int:
        """A u32."""
        (value,) = self._take(_COUNT)
        return int(value)

    def number(self) -> int:
        """A u64."""
        (value,) = self._take(_NUMBER)
        return int(value)

    def real(self) -> float:
        """One f64."""
        (value,) = self._take(_REAL)
        return float(value)

    def raw(self, size: int) -> bytes:
        """So many."""
        start, self._at = self._at, self._at + size
        if self._at > len(self._payload):
            raise MalformedError("bytes are cut")
        return self._payload[start : self._at]

    def numbers(self, limit: int) -> tuple[int, ...]:
        """All that is left, as u64, at most so many."""
        return struct.unpack(f"<{self._entries(limit)}Q", self.rest())

    def reals(self, limit: int) -> tuple[float, ...]:
        """All that is left, as f64, at most so many."""
        return struct.unpack(f"<{self._entries(limit)}d", self.rest())

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise MalformedError("more than the fields of this kind")

    def _take(self, of: struct.Struct) -> tuple[Any, ...]:
        try:
            found = of.unpack_from(self._payload, self._at)
        except struct.error:
            raise MalformedError("a field is cut") from None
        self._at += of.size
        return found

    def _entries(self, limit: int) -> int:
        entries, rest = divmod(self.left, 8)
        if rest or entries > limit:
            raise MalformedError(f"not a whole number of entries, or more than {limit}")
        return entries

    def rest(self) -> bytes:
        """All that is left."""
        start, self._at = self._at, len(self._payload)
        return self._payload[start:]
