"""Who of a pool may be picked now. Pure.

A member is a regular candidate once it was scraped and while it takes part in every decision. One whose share is lower
takes part by chance; the others only where there is nobody better: a doubtful endpoint is better than none, and an
ejected one is the last resort. One that is due for a probe gets the next request that it can serve.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final, Protocol

from epp.datalayer.events import RequestPlaced
from epp.datalayer.member import Member
from epp.datalayer.producer import Handlers
from epp.datalayer.shared import ALONE, Shared
from epp.datalayer.standing.attempts import Sign
from epp.datalayer.standing.elsewhere import EjectedElsewhere
from epp.datalayer.standing.endpoint import Condition, Standing
from epp.datalayer.standing.pool import EJECTED_SHARE_LIMIT, RESHARE_SECONDS, PoolStanding, StandingChanged
from epp.datalayer.standing.signals import ATTEMPT_FAILURES, OUTAGE_ENDS, Signal
from epp.domain import Endpoint, EndpointEjected, EndpointId, EndpointReturned, ScrapeFault

# Other faults leave open whether requests are served.
_FAULTS: Final[Mapping[ScrapeFault, Signal]] = MappingProxyType(
    {
        ScrapeFault.REFUSED: Signal.UNSCRAPABLE,
        ScrapeFault.TIMEOUT: Signal.MUTE,
        ScrapeFault.NOT_READY: Signal.NOT_READY,
    }
)
_UNSCRAPED: Final = "not scraped yet"
_WAS_AVOIDED: Final = "was avoided by another replica"
# They come all the time, and change nothing of an endpoint that takes part in every decision.
_FREQUENT: Final = frozenset((Signal.ANSWERED, Signal.SCRAPED))
Avoided = Sequence[tuple[EndpointId, str]]
_EVERYBODY: Final[Mapping[EndpointId, float]] = MappingProxyType({})


class StandingObserver(Protocol):
    """Is called after the change."""

    def ejected(self, endpoint: EndpointId, reason: str) -> None:
        """An endpoint is avoided from now on."""

    def returned(self, endpoint: EndpointId) -> None:
        """An avoided endpoint gets traffic again."""

    def attempt_failed(self, signal: Signal) -> None:
        """An attempt of a request failed, for this cause."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Members with their endpoints and slots, in one order.

    `probe` is the one that is due for a probe; `avoided` are those that their standing keeps out, with the reason.
    """

    members: Sequence[Member]
    endpoints: Sequence[Endpoint]
    slots: Sequence[int]
    probe: EndpointId | None = None
    avoided: Avoided = ()

    @staticmethod
    def of(members: Sequence[Member], probe: EndpointId | None = None, avoided: Avoided = ()) -> "Candidates":
        """These members."""
        endpoints, slots = [member.endpoint for member in members], [member.slot for member in members]
        return Candidates(members, endpoints, slots, probe, avoided)

    def without_probe(self) -> "Candidates":
        """The others, where there are any."""
        others = [member for member in self.members if member.id != self.probe]
        return Candidates.of(others, None, self.avoided) if self.probe is not None and others else self


NO_CANDIDATES = Candidates((), (), ())


class Roster:
    """Members with their standing; the pool is the only writer."""

    def __init__(self, observer: StandingObserver, shared: Shared = ALONE) -> None:
        self.members: dict[EndpointId, Member] = {}
        self._shared = shared
        self._elsewhere = EjectedElsewhere()
        self._avoided_elsewhere: Mapping[EndpointId, str] = {}
        self._observer = observer
        self._standing = PoolStanding()
        self._scraped: set[EndpointId] = set()
        self._reduced: Mapping[EndpointId, float] = _EVERYBODY
        self._regular = NO_CANDIDATES
        self._irregular: list[Member] = []
        self._reasons: dict[EndpointId, str] = {}  # of the irregular ones
        self._changes_at = float("-inf")

    def handles(self) -> Handlers:
        """Placements, since a request may be a probe, and what other replicas say."""
        return {
            RequestPlaced: self._placed,
            EndpointEjected: self._ejected_elsewhere,
            EndpointReturned: self._returned_elsewhere,
        }

    def join(self, member: Member) -> None:
        """A member is there from now on."""
        self.members[member.id] = member
        self._standing.joined(member.id)
        self._changes_at = float("-inf")

    def relabel(self, member: Member, endpoint: Endpoint) -> None:
        """Discovery sees the same address with other labels."""
        member.endpoint = endpoint
        self._changes_at = float("-inf")

    def leave(self, member: Member) -> None:
        """A member is gone."""
        del self.members[member.id]
        self._standing.left(member.id)
        self._scraped.discard(member.id)
        self._changes_at = float("-inf")

    def conditions(self, now: float) -> Mapping[EndpointId, Condition]:
        """Standing, share and reason of all members."""
        conditions = dict(self._standing.conditions(now))
        for id_, reason in self._avoided_elsewhere.items():
            if id_ in conditions and conditions[id_].share > 0.0:
                conditions[id_] = Condition(Standing.EJECTED, 0.0, reason)
        for id_, share in self._elsewhere.returning(now).items():
            if id_ in conditions and conditions[id_].share > share:
                conditions[id_] = Condition(Standing.RETURNING, share, _WAS_AVOIDED)
        return conditions

    def scraped(self, member: Member, now: float) -> None:
        """Its metrics port answers."""
        if member.id not in self._scraped:
            self._scraped.add(member.id)
            self._changes_at = float("-inf")
        self.observe(Sign(member.id, Signal.SCRAPED), now)

    def scrape_failed(self, member: Member, fault: ScrapeFault, now: float) -> None:
        """A scrape gave nothing."""
        signal = _FAULTS.get(fault)
        if signal is not None:
            self.observe(Sign(member.id, signal), now)

    def observe(self, sign: Sign, now: float) -> None:
        """Take one sign for or against a member; of others, ignore it."""
        if sign.signal in ATTEMPT_FAILURES and sign.endpoint in self.members:
            self._observer.attempt_failed(sign.signal)
        change = self._standing.observe(sign.endpoint, sign.signal, now, sign.detail, sign.sent_at)
        if change is not None:
            self._announce((change,))
        is_first = sign.signal not in _FREQUENT and sign.endpoint not in self._reduced
        if change is not None or is_first or sign.signal in OUTAGE_ENDS:  # lower shares are looked at again in time
            self._changes_at = float("-inf")

    def advance(self, now: float) -> None:
        """Let time pass: some that were avoided are no longer."""
        if now >= self._changes_at:
            self._sort(now)

    def candidates(self, now: float, random: Random, among: Iterable[str] | None = None) -> Candidates:
        """Who may be picked, best class first. `among` is the proxy's subset."""
        if now >= self._changes_at:
            self._sort(now)
        regular, irregular = self._regular, self._irregular
        if not irregular and among is None:
            return regular
        probe = self._probe(now)
        taking_part = (each for each in irregular if each.id == probe or self._takes_part(each, random))
        members = [*regular.members, *taking_part]
        if among is not None:
            allowed = set(among)
            members = [member for member in members if member.id in allowed]
            irregular = [member for member in irregular if member.id in allowed]
            probe = probe if probe in allowed else None
        if not members:
            return Candidates.of(self._reachable(irregular), probe)
        taken = {member.id for member in members}
        avoided = [(each.id, self._reasons[each.id]) for each in irregular if each.id not in taken]
        return Candidates.of(members, probe, avoided)

    def facts(self) -> Iterator[EndpointEjected]:
        """What is avoided since requests fail, here and elsewhere, for a replica that lacks it."""
        pool, run = self._shared.pool, self._shared.run
        for id_, reason in self._standing.failing():
            yield EndpointEjected(pool, id_, run, reason, self._shared.next_stamp())
        yield from self._elsewhere.facts(pool)

    def _placed(self, event: RequestPlaced, now: float) -> None:
        if self._irregular:
            for share in event.placement.shares:
                self._standing.placed(share.member.id, now)

    def _ejected_elsewhere(self, event: EndpointEjected, now: float) -> None:
        self._take_word(event, event.reason, now)

    def _returned_elsewhere(self, event: EndpointReturned, now: float) -> None:
        self._take_word(event, "", now)

    def _take_word(self, event: EndpointEjected | EndpointReturned, reason: str, now: float) -> None:
        self._shared.witness(event.stamp)
        if event.endpoint in self.members and event.run != self._shared.run:
            self._elsewhere.take(event.endpoint, event.run, event.stamp, reason, now)
            self._changes_at = float("-inf")

    def _probe(self, now: float) -> EndpointId | None:
        """One that is due."""
        due = self._standing.is_due_for_probe
        return next((each.id for each in self._irregular if each.id in self._scraped and due(each.id, now)), None)

    def _takes_part(self, member: Member, random: Random) -> bool:
        share = self._reduced.get(member.id, 1.0) if member.id in self._scraped else 0.0
        return share > 0.0 and random.random() < share

    def _announce(self, changes: Sequence[StandingChanged]) -> None:
        for change in changes:
            if change.is_ejected:
                self._observer.ejected(change.endpoint, change.reason)
            else:
                self._observer.returned(change.endpoint)
            self._publish(change)

    def _publish(self, change: StandingChanged) -> None:
        if change.is_outage or not self._shared.is_on:
            return
        pool, run, stamp = self._shared.pool, self._shared.run, self._shared.next_stamp()
        if change.is_ejected:
            self._shared.publish(EndpointEjected(pool, change.endpoint, run, change.reason, stamp))
        else:
            self._shared.publish(EndpointReturned(pool, change.endpoint, run, stamp))

    def _sort(self, now: float) -> None:
        self._announce(self._standing.advance(now))
        avoided = self._elsewhere.avoided(self.members, int(len(self.members) * EJECTED_SHARE_LIMIT), now)
        self._avoided_elsewhere = {id_: f"avoided by another replica: {reason}" for id_, reason in avoided.items()}
        returning = self._elsewhere.returning(now)
        own = self._standing.reduced(now)
        lower = {id_: min(share, own.get(id_, 1.0)) for id_, share in returning.items()}
        self._reduced = reduced = {**own, **lower, **dict.fromkeys(avoided, 0.0)}
        regular: list[Member] = []
        self._irregular = []
        for id_, member in self.members.items():
            is_regular = id_ in self._scraped and id_ not in reduced
            (regular if is_regular else self._irregular).append(member)
        self._regular = Candidates.of(regular)
        self._reasons = self._reasons_of(self._irregular, now)
        self._changes_at = min(self._standing.changes_at(now), self._elsewhere.changes_at())
        if returning:
            self._changes_at = min(self._changes_at, now + RESHARE_SECONDS)

    def _reasons_of(self, members: Sequence[Member], now: float) -> dict[EndpointId, str]:
        conditions = self.conditions(now) if members else {}
        return {
            each.id: f"{conditions[each.id].standing.value}: {conditions[each.id].reason or _UNSCRAPED}"
            for each in members
        }

    def _reachable(self, members: Sequence[Member]) -> Sequence[Member]:
        """Those that may serve in part; else all."""
        return [member for member in members if self._reduced.get(member.id, 1.0) > 0.0] or members
