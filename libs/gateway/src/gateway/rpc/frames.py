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
    """Cuts messages out of what arrives."""

    __slots__ = ("_limit", "_parts", "needed", "received")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.received = 0  # bytes that belong to no message that was taken yet
        self.needed = PREFIX_BYTES  # for the next message, with its prefix once that is known

    @property
    def is_empty(self) -> bool:
        """Nothing of a message is there."""
        return not self.received

    def feed(self, data: bytes) -> None:
        """Take bytes; call `take` until it gives nothing."""
        self._parts.append(data)
        self.received += len(data)

    def take(self) -> bytes | None:
        """The next message that is complete."""
        if self.received < self.needed:
            return None
        if self.needed == PREFIX_BYTES:
            size = self._read_prefix()
            if self.received < PREFIX_BYTES + size:
                self.needed += size
                return None
        else:
            size = self.needed - PREFIX_BYTES
        whole = self._whole()
        end = PREFIX_BYTES + size
        self.needed = PREFIX_BYTES
        self.received -= end
        self._parts = [whole[end:]] if self.received else []
        return whole[PREFIX_BYTES:end]

    def _read_prefix(self) -> int:
        first = self._parts[0]
        if len(first) < PREFIX_BYTES:
            first = self._whole()
            self._parts = [first]
        if first[0]:
            raise CompressedError("a message is compressed")
        size = int.from_bytes(first[1:PREFIX_BYTES], "big")
        if size > self._limit:
            raise TooLargeError(f"a message has {size} bytes, the limit is {self._limit}")
        return size

    def _whole(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
