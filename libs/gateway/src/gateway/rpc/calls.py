"""What a service and the transport of its calls know of each other. Pure: bytes in, bytes out.

A transport opens a handler for each call, gives it each message, and closes it exactly once. A handler answers through
its `Call`: at once, within `receive`, or later. All of this happens on the loop's thread.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol


class Status(IntEnum):
    """gRPC's status codes, those that are used here."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Call(Protocol):
    """One RPC, as a service sees it. After its end nothing is sent."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages, in order; they are written after the caller has returned."""

    def end(self, status: Status = Status.OK, text: str = "") -> None:
        """End the RPC when all that was sent is written. `text` is for people."""


class Handler(Protocol):
    """What a service does with one RPC."""

    @property
    def is_at_rest(self) -> bool:
        """Nothing is owed: the RPC may be ended without loss."""

    @property
    def is_collecting(self) -> bool:
        """The messages so far are kept until further ones come: a body that is not complete."""

    def receive(self, message: bytes) -> None:
        """Take the client's next message."""

    def half_closed(self) -> None:
        """No further message will come."""

    def closed(self, *, is_cut: bool) -> None:
        """The RPC is over; called exactly once. `is_cut`: what was sent last was not all written."""


# Opens a handler for a call with this initial metadata.
Method = Callable[[Mapping[str, str], Call], Handler]


class Service(Protocol):
    @property
    def methods(self) -> Mapping[str, Method]:
        """Methods by path, `/package.Service/Method`."""
