"""gRPC messages in the bytes of a stream: five bytes of prefix, then the message. Pure."""

from collections.abc import Sequence
from typing import Final

PREFIX_BYTES: Final = 5


class CompressedError(ValueError):
    """A message is marked as compressed."""


class TooLargeError(ValueError):
    """A message is larger than the limit."""


def framed(messages: Sequence[bytes]) -> bytes:
    """Messages as they travel."""
    if len(messages) == 1:
        return len(messages[0]).to_bytes(PREFIX_BYTES, "big") + messages[0]
    return b"".join([part for each in messages for part in (len(each).to_bytes(PREFIX_BYTES, "big"), each)])


class Assembler:
    """Cuts messages out of what arrives. A large message is copied once."""

    __slots__ = ("_limit", "_parts", "_size", "received")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size: int | None = None  # of the message whose prefix was read
        self.received = 0  # bytes of what is not complete, without a prefix that was read

    @property
    def is_empty(self) -> bool:
        """Nothing of a message is there."""
        return not self.received and self._size is None

    @property
    def needed(self) -> int:
        """Bytes of the message that is arriving, as far as it is known."""
        return self._size or self.received

    def feed(self, data: bytes) -> None:
        """Take bytes; call `take` until it gives nothing."""
        self._parts.append(data)
        self.received += len(data)

    def take(self) -> bytes | None:
        """The next message that is complete."""
        size = self._size
        if size is None:
            if self.received < PREFIX_BYTES:
                return None
            first = self._first(PREFIX_BYTES)
            size = self._read_prefix(first)
            end = PREFIX_BYTES + size
            if len(first) >= end:
                self._leave(first[end:])
                return first[PREFIX_BYTES:end]
            self._size = size
            self._parts[0] = first[PREFIX_BYTES:]
            self.received -= PREFIX_BYTES
        if self.received < size:
            return None
        self._size = None
        whole = b"".join(self._parts)
        self._parts.clear()
        self._leave(whole[size:])
        return whole if len(whole) == size else whole[:size]

    def _first(self, size: int) -> bytes:
        """The first piece, with so many bytes at least."""
        first = self._parts[0]
        if len(first) < size:
            first = b"".join(self._parts)
            self._parts = [first]
        return first

    def _leave(self, rest: bytes) -> None:
        """Of the first piece only this is left."""
        if self._parts:
            self.received -= len(self._parts[0]) - len(rest)
            del self._parts[0]
        else:
            self.received = len(rest)
        if rest:
            self._parts.insert(0, rest)

    def _read_prefix(self, first: bytes) -> int:
        if first[0]:
            raise CompressedError("a message is compressed")
        size = int.from_bytes(first[1:PREFIX_BYTES], "big")
        if size > self._limit:
            raise TooLargeError(f"a message has {size} bytes, the limit is {self._limit}")
        return size
