"""What one worker published about one pool, as numbered messages of which the newest are kept. Pure: time is an
argument.

    put ─▶ outbox ─ seal ─▶ messages ─ after(number) ─▶ each sibling, at its own pace

Nobody waits for a sibling: one that falls behind what is kept finds a gap in the numbers.
"""

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from epp.domain import SharedEvent
from epp.sharing import codec
from epp.sharing.metrics import of_requests
from epp.sharing.outbox import Outbox, event_size

# At most one message is made in two milliseconds: a sibling may hang for eight seconds and miss nothing.
MESSAGES_KEPT: Final = 4096
BYTES_KEPT: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """`body` is what the codec wrote; numbers rise by one, and by more where something is lost. `sealed_at` is in
    seconds of the host's monotonic clock."""

    number: int
    sealed_at: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """How many events of requests a message took, and how many could not be written."""

    shared: int = 0
    unwritable: int = 0


class Tail:
    """`last` is the number of the newest message, 0 before the first."""

    def __init__(self, messages: int = MESSAGES_KEPT, size: int = BYTES_KEPT) -> None:
        self.last = 0
        self._outbox: Outbox[SharedEvent] = Outbox(size_of=event_size)
        self._messages: deque[Message] = deque()
        self._limits = (messages, size)
        self._size = 0

    @property
    def is_sealed(self) -> bool:
        """Whether all that was put is in messages."""
        return len(self._outbox) == 0

    def put(self, event: SharedEvent) -> int:
        """Take an event; the number of events that had to go for it, which siblings see as a gap."""
        dropped = self._outbox.put(event)
        self.last += dropped
        return dropped

    def seal(self, now: float) -> Sealed:
        """Make the next message of what waits, of a bounded size."""
        events = self._outbox.take()
        frames, unwritable = [], 0
        for event in events:
            try:
                frames.append(codec.encode(event))
            except (struct.error, ValueError):  # a text of 64 KiB, for example
                unwritable += 1
        if frames:
            self._keep(now, codec.join(frames))
        return Sealed(of_requests(events) - unwritable, unwritable)

    def after(self, number: int) -> tuple[Sequence[Message], bool]:
        """Those that are kept of what follows a message, and whether others are lost."""
        found: list[Message] = []
        for message in reversed(self._messages):
            if message.number <= number:
                break
            found.append(message)
        found.reverse()
        return found, self.last - number != len(found)

    def _keep(self, now: float, body: bytes) -> None:
        self.last += 1
        self._messages.append(Message(self.last, now, body))
        self._size += len(body)
        messages, size = self._limits
        while len(self._messages) > messages or (self._size > size and len(self._messages) > 1):
            self._size -= len(self._messages.popleft().body)
