"""The standing of one endpoint: a state machine over signs and time. Pure.

    GOOD ──evidence──▶ EJECTED ──time, and no outage──▶ PROBING ──answers──▶ RETURNING ──time──▶ GOOD
                          ▲──────────── failure ───────────┴──── failures ──────┘

A good endpoint whose requests fail more often than the others' takes part in fewer decisions, and heals as successes
come. An ejected one takes part in none while there are others. A probing one gets single requests, some time apart.
Ejections double up to a bound that is short enough for a server to be back within half a minute of its recovery.

`pool` decides whether evidence suffices, since that depends on the other endpoints.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from epp.datalayer.standing.evidence import Evidence
from epp.datalayer.standing.signals import IN_A_ROW, OUTAGE_ENDS, OUTAGES, REQUEST_FAILURES, Signal

FIRST_EJECTION_SECONDS: Final = 4.0
LONGEST_EJECTION_SECONDS: Final = 12.0
# An endpoint in good standing for so long starts with the first ejection again.
FORGIVE_SECONDS: Final = 60.0
# Requests that probe are so far apart, and one that is not over after this time no longer holds up the next.
PROBE_SPACING_SECONDS: Final = 1.0
PROBE_PATIENCE_SECONDS: Final = 10.0
# So many probes answered in a row end probing: one may be luck.
PROBES_TO_RETURN: Final = 2
# From then on the share of decisions grows from a tenth to all in this time.
RETURN_SECONDS: Final = 5.0
LEAST_SHARE: Final = 0.1
# So many failures while returning end it: one may be a client's fault.
FAILURES_TO_RELAPSE: Final = 2
# A server that refuses for load rests for as long as it asks, within a bound: its word is about now. One that does not
# say how long rests twice as long for each refusal in a row.
LONGEST_REST_SECONDS: Final = 5.0
FIRST_REST_SECONDS: Final = 0.5
# A server that is slow to answer for its metrics may serve all the same: after so long a request finds out.
LONGEST_MUTE_SECONDS: Final = 30.0


class Standing(StrEnum):
    """Whether an endpoint takes part in decisions. One that has left the pool drains."""

    GOOD = "good"
    EJECTED = "ejected"
    PROBING = "probing"
    RETURNING = "returning"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Condition:
    """What people and plugins see: the share of decisions that the endpoint takes part in, 0 to 1, and why."""

    standing: Standing
    share: float
    reason: str


def returning_share(seconds: float) -> float:
    """Of decisions, so long after an endpoint began to return."""
    return LEAST_SHARE + (1 - LEAST_SHARE) * min(1.0, seconds / RETURN_SECONDS)


class EndpointStanding:
    """One endpoint. Its pool is the only writer."""

    __slots__ = (
        "_ejections", "_in_a_row", "_outages", "_probed_at", "_probes_answered", "_refusals", "_relapses",
        "_rests_until", "_until", "ejected_at", "evidence", "reason", "since", "standing",
    )  # fmt: skip

    def __init__(self) -> None:
        self.standing = Standing.GOOD
        self.since = float("-inf")
        self.reason = ""
        self.evidence = Evidence()
        self.ejected_at = float("-inf")  # the last time
        self._ejections = 0
        self._until = float("-inf")
        self._outages: set[Signal] = set()
        self._in_a_row = dict.fromkeys(OUTAGES, 0)
        self._probed_at: float | None = None
        self._probes_answered = 0
        self._relapses = 0
        self._refusals = 0  # in a row
        self._rests_until = float("-inf")

    @property
    def has_outage(self) -> bool:
        """Whether something says that it cannot serve at all."""
        return bool(self._outages)

    def is_on_trial(self, now: float) -> bool:
        """Whether it was ejected not long ago, and takes part again."""
        return self.standing is Standing.GOOD and now - self.ejected_at < FORGIVE_SECONDS

    def observe(self, signal: Signal, now: float) -> bool:
        """Take a sign. True when by itself it suffices for an ejection."""
        if signal is Signal.ANSWERED:
            self._refusals = 0
            self.evidence.succeeded(now)
            self._end_outages(Signal.MUTE, Signal.FROZEN)
            self._answered(now)
            return False
        if signal is Signal.SCRAPED:
            self._end_outages(Signal.UNSCRAPABLE, Signal.MUTE, Signal.NOT_READY)
            return False
        if signal in OUTAGES:
            return self._count_outage(signal)
        if signal in OUTAGE_ENDS:
            self._end_outages(Signal.FROZEN)
            return False
        if signal is Signal.OVERLOADED:
            self._refusals += 1
            self.rest(FIRST_REST_SECONDS * 2.0 ** min(self._refusals, 8), now)
            return False
        self.evidence.failed(now)
        return self._failed(signal)

    def rest(self, seconds: float, now: float) -> None:
        """The server asked for a pause."""
        self._rests_until = max(self._rests_until, now + min(seconds, LONGEST_REST_SECONDS))

    def eject(self, reason: str, now: float) -> None:
        """Take it out; a further ejection soon after the last one is longer."""
        if self.standing is Standing.GOOD and now - self.since > FORGIVE_SECONDS:
            self._ejections = 0
        seconds = min(LONGEST_EJECTION_SECONDS, FIRST_EJECTION_SECONDS * 2.0 ** min(self._ejections, 8))
        self._ejections += 1
        self._until = now + seconds
        self.ejected_at = now
        self.reason = reason
        self._probed_at, self._probes_answered, self._relapses = None, 0, 0
        self._enter(Standing.EJECTED, now)

    def advance(self, now: float) -> None:
        """Let time pass."""
        if self.standing is Standing.EJECTED and now >= self._ends_at():
            self.evidence.clear()
            self._enter(Standing.PROBING, now)
        elif self.standing is Standing.RETURNING and now - self.since >= RETURN_SECONDS:
            self.reason = ""
            self._enter(Standing.GOOD, now)

    def is_due_for_probe(self, now: float) -> bool:
        """Whether the next request may go there."""
        if self.standing is not Standing.PROBING:
            return False
        return self._probed_at is None or now - self._probed_at >= PROBE_PATIENCE_SECONDS

    def probe(self, now: float) -> None:
        """A request went there."""
        if self.standing is Standing.PROBING:
            self._probed_at = now

    def share(self, now: float) -> float:
        """Of decisions, by its standing alone; 0 or 1 request at a time while probing."""
        if self.standing is Standing.RETURNING:
            return returning_share(now - self.since)
        if self.standing is Standing.GOOD:
            return LEAST_SHARE if now < self._rests_until else 1.0
        return 0.0

    def changes_at(self, now: float) -> float:
        """When time alone changes something."""
        if self.standing is Standing.EJECTED:
            return max(now, self._ends_at())
        if self.standing is Standing.RETURNING:
            return self.since + RETURN_SECONDS
        return float("inf")

    def _ends_at(self) -> float:
        """When this ejection is over, as far as is known now."""
        if self._outages - {Signal.MUTE}:
            return float("inf")
        return max(self._until, self.since + LONGEST_MUTE_SECONDS) if self._outages else self._until

    def _count_outage(self, signal: Signal) -> bool:
        self._in_a_row[signal] += 1
        if self._in_a_row[signal] < IN_A_ROW[signal]:
            return False
        self._outages.add(signal)
        return self.standing is not Standing.EJECTED

    def _end_outages(self, *signals: Signal) -> None:
        for signal in signals:
            self._in_a_row[signal] = 0
            self._outages.discard(signal)

    def _answered(self, now: float) -> None:
        if self.standing is not Standing.PROBING:
            return
        self._probes_answered += 1
        if self._probes_answered >= PROBES_TO_RETURN:
            self._enter(Standing.RETURNING, now)
        else:  # the next probe keeps its distance
            self._probed_at = now - PROBE_PATIENCE_SECONDS + PROBE_SPACING_SECONDS

    def _failed(self, signal: Signal) -> bool:
        if self.standing is Standing.PROBING:
            return self._probed_at is not None  # else it was sent before the ejection
        if self.standing is Standing.RETURNING and signal in REQUEST_FAILURES:
            self._relapses += 1
            return self._relapses >= FAILURES_TO_RELAPSE
        return False

    def _enter(self, standing: Standing, now: float) -> None:
        self.standing, self.since = standing, now
