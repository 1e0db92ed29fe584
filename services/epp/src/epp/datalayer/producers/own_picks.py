"""This replica's requests, for the others: what is placed and settled, and heartbeats that list what is open. Pure.

Without others there is nothing to handle, and it costs a pick nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from epp.datalayer.events import HeartbeatDue, RequestPlaced, RequestSettled
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.shared import Shared
from epp.domain import PickId, PickPlaced, PickSettled, ReplicaAlive, SharedEvent, number_of

# Every fourth heartbeat lists what is in flight: what the others missed is right again after two seconds.
BEATS_TO_LIST: Final = 4
# Requests in flight that a list names; with more, heartbeats have none.
LISTED_LIMIT: Final = 10_000


class OwnPicksProducer:
    """See the module's docstring."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._live: dict[PickId, PickPlaced] = {}
        self._beat = 0
        self._last: PickId | None = None

    def handles(self) -> Handlers:
        """Nothing, where nobody follows."""
        if not self._shared.is_on:
            return {}
        return {RequestPlaced: self._placed, RequestSettled: self._settled, HeartbeatDue: self._heartbeat_due}

    def columns(self) -> Mapping[str, Column]:
        """None."""
        return {}

    def facts(self) -> Iterator[SharedEvent]:
        """Everything again, for others that lack it."""
        yield from tuple(self._live.values())
        yield self._alive(is_list=True)

    def _placed(self, event: RequestPlaced, now: float) -> None:
        del now
        placement = event.placement
        shares = placement.shares
        legs = tuple([(share.member.id, share.tokens) for share in shares])
        prompts = (
            tuple([share.prompt_tokens for share in shares]) if any(share.answer_tokens for share in shares) else ()
        )
        placed = self._live[placement.id] = PickPlaced(placement.pool, placement.id, legs, prompts)
        self._last = placement.id
        self._shared.publish(placed)

    def _settled(self, event: RequestSettled, now: float) -> None:
        del now
        if self._live.pop(event.placement.id, None) is not None:
            self._shared.publish(PickSettled(event.placement.pool, event.placement.id))

    def _heartbeat_due(self, event: HeartbeatDue, now: float) -> None:
        del event, now
        self._shared.publish(self._alive(is_list=self._beat % BEATS_TO_LIST == 0))

    def _alive(self, *, is_list: bool) -> ReplicaAlive:
        self._beat += 1
        shared = self._shared
        if not is_list or len(self._live) > LISTED_LIMIT:
            return ReplicaAlive(shared.pool, shared.run, self._beat)
        numbers = tuple([number for id_ in self._live if (number := number_of(id_)) is not None])
        through = None if self._last is None else number_of(self._last)
        return ReplicaAlive(shared.pool, shared.run, self._beat, through or 0, numbers)
