"""What replicas tell each other, as a log for each pool that each appends to and follows: the protocol, and the one of
a replica that is alone. Pure.

A journal keeps no order over replicas and may give an event twice: who follows it must not mind. It never makes a
publisher wait, and it loses only what does not fit, which it counts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from epp.domain import PoolId, SharedEvent

# Pools that a journal takes events of: no replica serves more.
POOLS_LIMIT: Final = 1000
# The part of the journal for what belongs to no pool: every replica follows it.
FLEET: Final = PoolId("")
# A place in one pool's part; what it means is the journal's affair. The empty one is where the journal begins.
Position = str
BEGINNING: Final[Position] = ""
# All that this replica knows of a pool, made as it is read, while the replica goes on.
Everything = Callable[[PoolId], Iterator[SharedEvent]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in the order of their coming. `has_gap` says that others before them are lost, which a snapshot makes up
    for: any, or the one of this `offer`, which a replica made that could not publish all. `lag_seconds` is how long ago
    they entered the journal, about."""

    events: tuple[SharedEvent, ...]
    has_gap: bool = False
    lag_seconds: float | None = None
    offer: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is kept of the past: events whose fold is what all knew, and from where the journal goes on. `lacks` says
    for people what could not be had, and is empty when nothing is missing."""

    events: tuple[SharedEvent, ...] = ()
    position: Position = BEGINNING
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What this replica has for others that lack it, by pool: its own requests in flight; and all that it knows."""

    in_flight: Callable[[PoolId], Iterable[SharedEvent]]
    everything: Everything


class Journal(Protocol):
    """See the module's docstring."""

    def publish(self, events: Iterable[SharedEvent]) -> None:
        """Let the others know soon; never waits, never raises."""

    def subscribe(self, pool: PoolId, start: Position) -> AsyncIterator[Batch]:
        """What others published about a pool from there on, for ever."""

    async def snapshot(self, pool: PoolId, offer: str = "") -> Snapshot:
        """What was known of a pool until now: by a replica that lives, else by what the journal keeps. Does not raise.
        `offer` is a batch's."""

    async def run(self) -> None:
        """Carry out what was published, until cancelled."""


class NoJournal:
    """Of a replica that is alone."""

    def publish(self, events: Iterable[SharedEvent]) -> None:
        """Nobody follows."""

    async def subscribe(self, pool: PoolId, start: Position) -> AsyncIterator[Batch]:
        """Nothing comes."""
        del pool, start
        while True:
            await asyncio.Event().wait()
            yield Batch(())

    async def snapshot(self, pool: PoolId, offer: str = "") -> Snapshot:
        """Nothing was."""
        del pool, offer
        return Snapshot()

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.Event().wait()
