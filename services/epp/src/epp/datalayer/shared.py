"""One pool's tie to the other replicas: where its producers publish what they learn, and the order of it. Pure.

Replicas have no common clock, so what may contradict itself bears a stamp of logical time (Lamport's): an event that
was made knowing of another one has a later stamp. Of two the later counts, in whatever order they come.
"""

from collections.abc import Callable, Sequence
from typing import Final

from epp.domain import PoolId, RunId, SharedEvent, Stamp

Publish = Callable[[Sequence[SharedEvent]], None]

# No fleet counts so far; a stamp beyond it would be the last word for ever.
STAMP_LIMIT: Final = 2**53
NO_RUN: Final = RunId("")


class Shared:
    """`is_on` says whether anybody follows; without, nothing needs to be made up for others."""

    __slots__ = ("_publish", "_stamp", "is_on", "pool", "run")

    def __init__(self, pool: PoolId, run: RunId = NO_RUN, publish: Publish | None = None) -> None:
        self.pool = pool
        self.run = run
        self.is_on = publish is not None
        self._publish = publish
        self._stamp: Stamp = 0

    def next_stamp(self) -> Stamp:
        """Later than all that is known here."""
        self._stamp += 1
        return self._stamp

    def witness(self, stamp: Stamp) -> None:
        """Another replica's event: what comes next here is later."""
        if self._stamp < stamp <= STAMP_LIMIT:
            self._stamp = stamp

    def publish(self, event: SharedEvent) -> None:
        """Let the others know; never waits."""
        if self._publish is not None:
            self._publish((event,))


ALONE: Final = Shared(PoolId(""))
