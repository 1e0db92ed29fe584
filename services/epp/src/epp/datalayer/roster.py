"""Who of a pool may be picked now. Pure.

A member is a regular candidate once it was scraped and while it is in good standing. The others take part only where
there is nobody better: a doubtful endpoint is better than none, and an ejected one is the last resort.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from epp.datalayer.health import Health, Standing
from epp.datalayer.member import Member
from epp.domain import Endpoint, EndpointId, ScrapeFault


class StandingObserver(Protocol):
    """Is called after the change."""

    def ejected(self, endpoint: EndpointId, reason: str) -> None:
        """An endpoint is avoided from now on."""

    def returned(self, endpoint: EndpointId) -> None:
        """An avoided endpoint gets traffic again."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Members with their endpoints and slots, in one order."""

    members: Sequence[Member]
    endpoints: Sequence[Endpoint]
    slots: Sequence[int]

    @staticmethod
    def of(members: Sequence[Member]) -> "Candidates":
        """These members."""
        return Candidates(members, [member.endpoint for member in members], [member.slot for member in members])


NO_CANDIDATES = Candidates((), (), ())


class Roster:
    """Members with their health; the pool is the only writer."""

    def __init__(self, observer: StandingObserver) -> None:
        self.members: dict[EndpointId, Member] = {}
        self._observer = observer
        self._health: dict[EndpointId, Health] = {}
        self._scraped: set[EndpointId] = set()
        self._avoided: set[EndpointId] = set()
        self._regular = NO_CANDIDATES
        self._irregular: list[Member] = []
        self._changes_at = float("-inf")

    def join(self, member: Member) -> None:
        """A member is there from now on."""
        self.members[member.id] = member
        self._health[member.id] = Health()
        self._changes_at = float("-inf")

    def relabel(self, member: Member, endpoint: Endpoint) -> None:
        """Discovery sees the same address with other labels."""
        member.endpoint = endpoint
        self._changes_at = float("-inf")

    def leave(self, member: Member) -> None:
        """A member is gone."""
        del self.members[member.id], self._health[member.id]
        self._scraped.discard(member.id)
        self._changes_at = float("-inf")

    def health(self, endpoint: EndpointId) -> Health:
        """One member's health."""
        return self._health[endpoint]

    def scraped(self, member: Member, now: float) -> None:
        """Its metrics port answers."""
        is_back = self._health[member.id].scrape_succeeded(now)
        if is_back or member.id not in self._scraped:
            self._scraped.add(member.id)
            self._changes_at = float("-inf")

    def scrape_failed(self, member: Member, fault: ScrapeFault) -> None:
        """A scrape gave nothing."""
        health, reason = self._health[member.id], f"scrape {fault.value}"
        is_out = (fault is ScrapeFault.REFUSED and health.scrape_failed(reason)) or (
            fault is ScrapeFault.TIMEOUT and health.scrape_timed_out(reason)
        )
        if is_out:
            self._eject(member, reason)

    def request_failed(self, member: Member, reason: str, now: float) -> None:
        """A request could not connect."""
        if self.members.get(member.id) is member and self._health[member.id].request_failed(now, reason):
            self._eject(member, reason)

    def request_succeeded(self, member: Member) -> None:
        """A request was answered."""
        self._health[member.id].request_succeeded()

    def advance(self, now: float) -> None:
        """Let time pass: some that were avoided are no longer."""
        back = [
            id_
            for id_ in self._avoided
            if id_ not in self.members or self._health[id_].standing(now) is not Standing.EJECTED
        ]
        self._avoided.difference_update(back)
        for id_ in back:
            if id_ in self.members:
                self._observer.returned(id_)

    def candidates(self, now: float, random: Random, among: Iterable[str] | None = None) -> Candidates:
        """Who may be picked, best class first. `among` is the proxy's subset."""
        if now >= self._changes_at:
            self._sort(now)
        regular, irregular = self._regular, self._irregular
        if not irregular and among is None:
            return regular
        members = [*regular.members, *(each for each in irregular if self._takes_part(each, now, random))]
        if among is not None:
            allowed = set(among)
            members = [member for member in members if member.id in allowed]
            irregular = [member for member in irregular if member.id in allowed]
        return Candidates.of(members or self._reachable(irregular, now))

    def _takes_part(self, member: Member, now: float, random: Random) -> bool:
        health = self._health[member.id]
        return member.id in self._scraped and health.standing(now) is Standing.RETURNING and health.admits(now, random)

    def _eject(self, member: Member, reason: str) -> None:
        self._avoided.add(member.id)
        self._changes_at = float("-inf")
        self._observer.ejected(member.id, reason)

    def _sort(self, now: float) -> None:
        regular: list[Member] = []
        self._irregular = []
        self._changes_at = float("inf")
        for id_, member in self.members.items():
            health = self._health[id_]
            is_good = id_ in self._scraped and health.standing(now) is Standing.GOOD
            (regular if is_good else self._irregular).append(member)
            self._changes_at = min(self._changes_at, health.settles_at(now))
        self._regular = Candidates.of(regular)

    def _reachable(self, members: Sequence[Member], now: float) -> Sequence[Member]:
        """Those not ejected; else all."""
        return [
            member for member in members if self._health[member.id].standing(now) is not Standing.EJECTED
        ] or members
