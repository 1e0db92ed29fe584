"""What a service and the server of its ext_proc streams know of each other. Pure: no gRPC, no protobuf.

The service (`gateway.extproc.processor`) opens a conversation for each RPC, gives it each message of the proxy, writes
the replies in order, and closes it exactly once. A reply that no message brings about, as a verdict that comes late,
goes out through `push`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gateway.extproc.protocol.messages import Event, Reply


class Conversation(Protocol):
    """What a service does with one stream. `now` is monotonic seconds."""

    @property
    def is_finished(self) -> bool:
        """No further reply will come: the RPC may end with OK."""

    @property
    def is_at_rest(self) -> bool:
        """No reply is owed now: a drain may end the RPC with OK."""

    @property
    def is_collecting(self) -> bool:
        """Messages are kept for a body that is not complete."""

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        """Take the proxy's next message; the replies to it."""

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """The stream is over; called exactly once. `is_cut`: the latest replies were not all written."""


# Sends replies that no message of the proxy brought about. For the loop's thread, at any time between the opening of
# the conversation and its close, and within `receive` too; after the close it does nothing. It returns before the
# replies are written and never calls the conversation.
Push = Callable[[Sequence[Reply]], None]

# Opens a conversation for a stream with this initial metadata.
Open = Callable[[Mapping[str, str], Push], Conversation]


class ServerMetrics(Protocol):
    """What an operator counts."""

    def violation(self, reason: str) -> None:
        """A proxy broke the protocol."""
