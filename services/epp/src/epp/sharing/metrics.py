"""What an operator counts of sharing, and of the streams' names: a protocol. Pure."""

from typing import Protocol


class SharingMetrics(Protocol):
    """Implemented by the process's metrics."""

    def shared(self, direction: str, events: int) -> None:
        """Events went out or came in."""

    def dropped(self, events: int) -> None:
        """Events that the others will not hear of, or that could not be read."""

    def sharing(self, direction: str, *, works: bool) -> None:
        """One direction works from now on, or no longer."""

    def lagged(self, direction: str, seconds: float) -> None:
        """So long an event waited to be written, or to be read once it was written."""
