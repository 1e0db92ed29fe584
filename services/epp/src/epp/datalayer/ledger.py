"""Reservations: what was picked and has not ended. Pure.

Each pick is entered once and leaves once, by whichever comes first of its door's word, the access log's and expiry;
later words find nothing and change nothing. What a settled pick was stays for a while, bounded, since its access-log
entry usually comes after its end.
"""

from collections import OrderedDict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from epp.datalayer.endpoint import EndpointState
from epp.datalayer.prefix import Stamp
from epp.domain import PickId, PoolId
from gateway.wire.protocol import HEARTBEAT_SECONDS

# So many heartbeats of the access log missed end a reservation. One that comes so much after its time is late, not
# missed: entries travel in batches, by way of another replica too.
MISSED_HEARTBEATS = 3
LATE_SECONDS = 2.0
SILENT_SECONDS = MISSED_HEARTBEATS * HEARTBEAT_SECONDS + LATE_SECONDS
# Where no heartbeat was ever heard, only the door knows; this ends what a lost door left behind.
UNHEARD_EXPIRY_SECONDS = 300.0
# Settled picks kept for their access-log entry: ten seconds at 400 requests a second.
SETTLED_LIMIT = 4096
# Blocks kept for correction in a settled pick; longer chains are cut, their tail is then not corrected.
SETTLED_BLOCKS_LIMIT = 512
# An objective or a fairness id may fill a whole header; more of it is no label anyway.
SETTLED_WORD_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Share:
    """What one endpoint carries of a pick."""

    state: EndpointState
    prompt_tokens: int  # to compute there
    answer_tokens: int = 0  # to generate there, where such are counted
    holds_prompt: bool = True  # in its cache, from now on

    @property
    def tokens(self) -> int:
        """All that it has in flight for the pick."""
        return self.prompt_tokens + self.answer_tokens

    def reserve(self, now: float) -> float:
        """Count it in; the prompt tokens queued before it are returned."""
        return self.state.reserve(self.prompt_tokens, now, self.answer_tokens)


@dataclass(slots=True)
class Reservation:
    """One pick. `heard_at` moves with heartbeats; all else stands from the start."""

    id: PickId
    pool: PoolId
    shares: tuple[Share, ...]
    model: str
    target_model: str
    objective: str  # as the request named it, empty where it named none
    fairness_id: str
    prompt_tokens: int
    matched_tokens: int
    ahead_tokens: int
    block_tokens: int
    blocks: tuple[int, ...]
    new_from: int  # blocks before this one were believed there already
    picked_at: float
    heard_at: float
    was_heard: bool = False
    stamps: Sequence[Stamp | None] = ()  # when the first endpoint last touched each block before


class Ledger:
    """All reservations of one picker, over all pools."""

    def __init__(self) -> None:
        self._live: dict[PickId, Reservation] = {}
        self._settled: OrderedDict[PickId, Reservation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def live(self) -> Iterator[Reservation]:
        """What is in flight, oldest first."""
        return iter(self._live.values())

    def reserve(self, reservation: Reservation) -> None:
        """Enter a pick; its endpoints carry it from now."""
        self._live[reservation.id] = reservation

    def release(self, pick_id: PickId, now: float) -> Reservation | None:
        """Take a pick out and its load off its endpoints. None if it has left already or was never entered."""
        reservation = self._live.pop(pick_id, None)
        if reservation is None:
            return None
        for share in reservation.shares:
            share.state.release(share.tokens, reservation.picked_at, now)
        if len(reservation.blocks) > SETTLED_BLOCKS_LIMIT:
            reservation.blocks = reservation.blocks[:SETTLED_BLOCKS_LIMIT]
            reservation.stamps = reservation.stamps[:SETTLED_BLOCKS_LIMIT]
        reservation.objective = reservation.objective[:SETTLED_WORD_LIMIT]
        reservation.fairness_id = reservation.fairness_id[:SETTLED_WORD_LIMIT]
        self._settled[pick_id] = reservation
        if len(self._settled) > SETTLED_LIMIT:
            self._settled.popitem(last=False)
        return reservation

    def report(self, pick_id: PickId) -> Reservation | None:
        """A settled pick whose access-log entry came: handed over once."""
        return self._settled.pop(pick_id, None)

    def heard(self, pick_id: PickId, now: float) -> None:
        """A heartbeat of a live request."""
        reservation = self._live.get(pick_id)
        if reservation is not None:
            reservation.heard_at, reservation.was_heard = now, True

    def overdue(self, now: float, held: Container[PickId]) -> list[PickId]:
        """Picks nobody spoke of for too long, but for those whose door holds them open."""
        return [
            reservation.id
            for reservation in self._live.values()
            if now - reservation.heard_at > (SILENT_SECONDS if reservation.was_heard else UNHEARD_EXPIRY_SECONDS)
            and reservation.id not in held
        ]
