"""What endpoints hold, as events for a replica that lacks it. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from epp.datalayer.member import Member
from epp.datalayer.producers.prefix_index import PrefixIndex
from epp.domain import PoolId, PrefixesHeld

# Blocks by their bytes, and parts, of one event: folding it takes less than a millisecond.
EVENT_BYTES: Final = 32 * 1024
EVENT_PARTS: Final = 256


def held(pool: PoolId, members: Sequence[Member], index: PrefixIndex) -> Iterator[PrefixesHeld]:
    """Everything in the index, endpoint after endpoint."""
    for member in members:
        parts: list[bytes] = []
        size = 0
        for run in index.held_by_age(member.slot):
            parts.append(run)
            size += len(run)
            if size >= EVENT_BYTES or len(parts) >= EVENT_PARTS:
                yield PrefixesHeld(pool, member.id, tuple(parts))
                parts, size = [], 0
        if parts:
            yield PrefixesHeld(pool, member.id, tuple(parts))
