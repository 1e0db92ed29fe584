"""What an operator counts of sharing, and of the streams' names: a protocol. Pure."""

from collections.abc import Iterable
from typing import Final, Protocol

from epp.domain import ModelsShared, ReplicaAlive, ScrapeTaken, SharedEvent

# They come all the time, whatever is asked of a picker.
_ROUTINE: Final = (ReplicaAlive, ScrapeTaken, ModelsShared)


def of_requests(events: Iterable[SharedEvent]) -> int:
    """How many events are there because of requests."""
    return sum(not isinstance(event, _ROUTINE) for event in events)


class SharingMetrics(Protocol):
    """Implemented by the process's metrics."""

    def shared(self, direction: str, events: int) -> None:
        """Events of requests went out or came in."""

    def dropped(self, events: int) -> None:
        """Events that the others will not hear of, or that could not be read."""

    def sharing(self, direction: str, *, works: bool) -> None:
        """One direction works from now on, or no longer."""

    def lagged(self, direction: str, seconds: float) -> None:
        """So long an event waited to be written, or to be read once it was written."""
