"""Requests that were served and wait to be written, bounded. Pure.

An observer of the picker, in front of another: what it takes is references, and nothing is written or hashed here.
"""

from collections import OrderedDict, deque
from typing import NamedTuple

from epp.datalayer.placement import Placement
from epp.datalayer.producers.adapters import NOTE as ADAPTER
from epp.domain import Feedback, PickId
from epp.picking.observer import PickObserver

# Some seconds of a picker under full load, while the disk is slow.
SERVED_LIMIT = 10_000
# Blocks of requests in flight: a placement that is settled keeps the first 512 blocks only. 40 MB; beyond it the oldest
# are recorded with those.
PENDING_BLOCKS_LIMIT = 1_000_000


class Kept(NamedTuple):
    """What a placement has no longer once it is settled."""

    blocks: tuple[int, ...]
    adapter: str | None


class Served(NamedTuple):
    """A request that ended. `adapter` is the LoRA adapter that it asked for, None for a base model."""

    placement: Placement
    feedback: Feedback
    adapter: str | None


class ServedRequests:
    """Takes placements and their ends from the picker."""

    def __init__(self, observer: PickObserver) -> None:
        self._observer = observer
        self._pending: OrderedDict[PickId, Kept] = OrderedDict()
        self._pending_blocks = 0
        self._served: deque[Served] = deque()
        self.dropped = 0
        self.rejected, self.settled = observer.rejected, observer.settled
        self.rewritten, self.ejected, self.returned = observer.rewritten, observer.ejected, observer.returned
        self.attempt_failed = observer.attempt_failed
        self.failed, self.inert, self.warned = observer.failed, observer.inert, observer.warned

    def placed(self, placement: Placement, request_bytes: int) -> None:
        """Keep its whole chain of blocks, and its adapter, until it ends."""
        self._observer.placed(placement, request_bytes)
        adapter = placement.notes.get(ADAPTER)
        self._pending[placement.id] = Kept(placement.blocks, adapter if isinstance(adapter, str) else None)
        self._pending_blocks += len(placement.blocks)
        while self._pending_blocks > PENDING_BLOCKS_LIMIT or len(self._pending) > SERVED_LIMIT:
            self._pending_blocks -= len(self._pending.popitem(last=False)[1].blocks)

    def reported(self, feedback: Feedback, placement: Placement) -> None:
        """It ended."""
        self._observer.reported(feedback, placement)
        kept = self._pending.pop(placement.id, None)
        if kept is not None:
            self._pending_blocks -= len(kept.blocks)
            placement = placement._replace(blocks=kept.blocks)
        if len(self._served) >= SERVED_LIMIT:
            self.dropped += 1
        else:
            self._served.append(Served(placement, feedback, None if kept is None else kept.adapter))

    def take(self, most: int) -> list[Served]:
        """The next to write, oldest first."""
        return [self._served.popleft() for _ in range(min(most, len(self._served)))]
