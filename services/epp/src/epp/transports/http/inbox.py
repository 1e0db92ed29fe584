"""The received bytes of one connection that are not yet understood: a head, a body, and what came with them. Pure.

A large body is kept in the pieces in which it came and joined once; heads are searched for in one piece.
"""

from typing import Final

_HEAD_END: Final = b"\r\n\r\n"


class Inbox:
    """Bytes in, heads and bodies out."""

    __slots__ = ("_at", "_buffer", "_chunks", "_missing")

    def __init__(self) -> None:
        self._buffer = b""  # from `_at` on: at most one head and what came with it
        self._at = 0
        self._chunks: list[bytes] = []  # of the body that is being received
        self._missing = 0  # bytes of that body still to come, those in the buffer included

    @property
    def is_empty(self) -> bool:
        """No byte of a head has come. Where a body is being received, that is the caller's knowledge."""
        return not self._buffer

    @property
    def size(self) -> int:
        """How many bytes wait to be understood."""
        return len(self._buffer) - self._at

    def receive(self, data: bytes) -> None:
        """Take what arrived."""
        if self._missing and len(data) < self._missing:
            self._chunks.append(data)
            self._missing -= len(data)
        else:
            self._buffer = self._buffer[self._at :] + data if self._buffer else data
            self._at = 0

    def take_head(self, limit: int) -> bytes | None:
        """The next head with its empty line; None while it is incomplete, or longer than the limit."""
        end = self._buffer.find(_HEAD_END, self._at, self._at + limit)
        if end < 0:
            return None
        end += len(_HEAD_END)
        head = self._buffer[self._at : end]
        self._at = end
        return head

    @property
    def has_body(self) -> bool:
        """The expected body is whole."""
        return self._at + self._missing <= len(self._buffer)

    def expect_body(self, length: int) -> None:
        """A body of so many bytes comes next."""
        self._missing = length

    def take_body(self) -> bytes | None:
        """The body; None while it is incomplete."""
        end = self._at + self._missing
        if end > len(self._buffer):
            self._hold()
            return None
        body = self._buffer[self._at : end] if self._missing else b""
        if self._chunks:
            body = b"".join((*self._chunks, body))
            self._chunks = []
        self._missing = 0
        self._skip_to(end)
        return body

    def clear(self) -> None:
        """Forget everything."""
        self._buffer, self._at, self._chunks, self._missing = b"", 0, [], 0

    def _hold(self) -> None:
        """Keep the part of a body that has come, as it came."""
        if self._at < len(self._buffer):
            part = self._buffer[self._at :]
            self._chunks.append(part)
            self._missing -= len(part)
        self._buffer, self._at = b"", 0

    def _skip_to(self, end: int) -> None:
        if end == len(self._buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
