"""What replicas tell each other, as a log for each pool that each appends to and follows: the protocol, and the one of
a replica that is alone. Pure.

A journal keeps no order over replicas and may give an event twice: who follows it must not mind. It never makes a
publisher wait, and it loses only what does not fit, which it counts.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from epp.domain import PoolId, SharedEvent

# The part of the journal for what belongs to no pool: every replica follows it.
FLEET: Final = PoolId("")
# A place in one pool's part; what it means is the journal's affair. The empty one is where the journal begins.
Position = str
BEGINNING: Final[Position] = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in the order of their coming. `has_gap` says that others before them are lost, which a snapshot makes up
    for; `lag_seconds` is how long ago they entered the journal, about."""

    events: tuple[SharedEvent, ...]
    has_gap: bool = False
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is kept of the past: events whose fold is what all knew, and from where the journal goes on. `lacks` says
    for people what could not be had, and is empty when nothing is missing."""

    events: tuple[SharedEvent, ...] = ()
    position: Position = BEGINNING
    lacks: str = ""


class Journal(Protocol):
    """See the module's docstring."""

    def publish(self, events: Iterable[SharedEvent]) -> None:
        """Let the others know soon; never waits, never raises."""

    def subscribe(self, pool: PoolId, start: Position) -> AsyncIterator[Batch]:
        """What others published about a pool from there on, for ever."""

    async def snapshot(self, pool: PoolId) -> Snapshot:
        """What was known of a pool until now. Does not raise."""

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

    async def snapshot(self, pool: PoolId) -> Snapshot:
        """Nothing was."""
        del pool
        return Snapshot()

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.Event().wait()
