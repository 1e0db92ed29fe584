"""Who of several replicas writes: the holder of a Lease, as Kubernetes' own controllers elect theirs. Pure.

    another holds it ── silent for its duration, by our own clock ──▶ take it ──▶ renew it, at each turn
           ▲                                                                          │
           └──────── another took it, or it was not renewed in time ──────────────────┘

The caller reads the Lease, writes what `next_record` says under the version that was read, and reports a success by
`written`. Clocks of two hosts are never compared: how long a holder has been silent is how long its record has been the
same here. A holder that cannot renew gives up before anybody else may take over.
"""

from dataclasses import dataclass, replace
from typing import Final

DURATION_SECONDS: Final = 15.0  # of silence, after which another replica takes over; these three are Kubernetes' own
GIVE_UP_SECONDS: Final = 10.0  # without a renewal, after which a holder no longer writes
TURN_SECONDS: Final = 2.0  # between two turns


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says. `holder` is empty for one that was given up. Times of day are texts: another value of
    `renewed` is a sign of life, and no more is read from it."""

    holder: str
    acquired: str
    renewed: str
    transitions: int = 0


class Candidate:
    """One replica. Times are in seconds, of one clock that never goes back."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._seen: Record | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None  # None: another holds it, or nobody

    def holds(self, now: float) -> bool:
        """Whether this replica may write."""
        return self._renewed_at is not None and now - self._renewed_at < GIVE_UP_SECONDS

    def next_record(self, found: Record | None, stamp: str, now: float) -> Record | None:
        """What to write; None to wait. `found` is what the Lease says, None where there is none; `stamp` the time of
        day."""
        if found is None:
            return Record(self.identity, stamp, stamp)
        if found != self._seen:
            self._seen, self._seen_at = found, now
        if found.holder == self.identity:
            return replace(found, renewed=stamp)
        self._renewed_at = None
        is_silent = now - self._seen_at >= DURATION_SECONDS
        if found.holder and not is_silent:
            return None
        return Record(self.identity, stamp, stamp, found.transitions + 1)

    def written(self, record: Record, sent_at: float, now: float) -> bool:
        """The server took a record, which was sent at that time. Whether this replica could not write until now."""
        is_gained = not self.holds(now)
        self._seen, self._seen_at = record, sent_at
        self._renewed_at = sent_at
        return is_gained

    def released(self, found: Record | None) -> Record | None:
        """What to write when this replica ends, so that another need not wait; None where the Lease is not its own."""
        self._renewed_at = None
        return replace(found, holder="") if found is not None and found.holder == self.identity else None
