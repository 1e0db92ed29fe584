"""Crowds: how many requests in flight share a prefix, and how many endpoints that takes. Pure.

A prompt that many share ends its match where it stops being shared; a conversation's ends where its last turn did,
which nobody else has. So the block with which the longest match ends names the crowd. Bounded by what is in flight.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from epp.datalayer.events import EndpointJoined, EndpointLeft, RequestPlaced, RequestSettled
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.prefixes import PrefixProducer

NOTE: Final = "crowd"  # the block with which the longest match ended, None without a match


class PrefixCrowds:
    """Requests in flight by the block with which the longest match anywhere ended."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.total = 0  # requests in flight, those without a match included

    def __len__(self) -> int:
        return len(self._counts)

    def enter(self, block: int | None) -> None:
        """A request was placed; `block` is None where nothing matched."""
        self.total += 1
        if block is not None:
            self._counts[block] = self._counts.get(block, 0) + 1

    def leave(self, block: int | None) -> None:
        """A request that entered has ended."""
        self.total -= 1
        if block is None:
            return
        if (left := self._counts.get(block, 0) - 1) > 0:
            self._counts[block] = left
        else:
            self._counts.pop(block, None)

    def count(self, block: int) -> int:
        """Requests in flight whose match ended there."""
        return self._counts.get(block, 0)

    def needs(self, block: int, endpoints: int) -> int:
        """How many of the endpoints these requests take, if each carries as many as any other."""
        return -(-self.count(block) * endpoints // max(1, self.total))


class CrowdProducer:
    """See the module's docstring. Reads matches and holders from the prefixes."""

    def __init__(self, prefixes: PrefixProducer) -> None:
        self.crowds = PrefixCrowds()
        self._prefixes = prefixes
        self._endpoints = 0

    def handles(self) -> Handlers:
        """Placements, settlements, and how many endpoints there are."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            RequestPlaced: self._placed,
            RequestSettled: self._settled,
        }

    def columns(self) -> Mapping[str, Column]:
        """Of the request's longest match; the same for each candidate."""
        return {"crowd": self._sizes, "holders_missing": self._missing}

    def _sizes(self, placing: Placing, slots: Sequence[int]) -> Sequence[int]:
        """Requests that share it, this one included."""
        block = self._prefixes.longest_match(placing)
        return [1 if block is None else 1 + self.crowds.count(block)] * len(slots)

    def _missing(self, placing: Placing, slots: Sequence[int]) -> Sequence[int]:
        """Endpoints that the crowd needs beyond those that hold it."""
        block = self._prefixes.longest_match(placing)
        if block is None:
            return [0] * len(slots)
        missing = self.crowds.needs(block, self._endpoints) - self._prefixes.holders(placing)
        return [max(0, missing)] * len(slots)

    def _joined(self, event: EndpointJoined, now: float) -> None:
        del event, now
        self._endpoints += 1

    def _left(self, event: EndpointLeft, now: float) -> None:
        del event, now
        self._endpoints -= 1

    def _placed(self, event: RequestPlaced, now: float) -> None:
        del now
        event.placement.notes[NOTE] = block = self._prefixes.longest_match(event.placing)
        self.crowds.enter(block)

    def _settled(self, event: RequestSettled, now: float) -> None:
        del now
        if NOTE in event.placement.notes:
            self.crowds.leave(event.placement.notes.pop(NOTE))  # type: ignore[arg-type]  # as it was put there
