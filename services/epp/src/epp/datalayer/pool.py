"""One pool as the picker knows it: its members, who may be picked, and the producers that learn about them. Pure.

The pool turns what shells and the picker report into events for its producers, and their columns into what a decision
sees. It knows producers by their protocol only.
"""

from collections.abc import Iterable, Sequence
from random import Random

from epp.datalayer.departures import Departures
from epp.datalayer.drains import Drains
from epp.datalayer.events import (
    EndpointJoined,
    EndpointLeft,
    MembersChanged,
    ModelsListed,
    RequestReported,
    Scraped,
    TimePassed,
)
from epp.datalayer.member import Member
from epp.datalayer.producer import Producers
from epp.datalayer.report import Report
from epp.datalayer.roster import Candidates, Roster, StandingObserver
from epp.datalayer.shared import ALONE, Shared
from epp.datalayer.standing.progress import ProgressWatch
from epp.datalayer.standing.watch import RequestWatch
from epp.datalayer.stored import StoredAnswers
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolSpec, ScrapeFault, ServedModel


class PoolState:
    """State of one pool; `spec` is discovery's latest view of it."""

    def __init__(
        self, spec: PoolSpec, producers: Producers, observer: StandingObserver, shared: Shared = ALONE
    ) -> None:
        self.spec = spec
        self.roster = Roster(observer, shared)
        self.departures = Departures()
        self.drains = Drains()
        self.stored = StoredAnswers(shared)
        observe = self.roster.observe
        for watch in (self.roster, self.departures, self.stored, RequestWatch(observe), ProgressWatch(observe)):
            producers.add(watch.handles())
        self.columns = producers.columns  # what producers offer, by name
        self.handle = producers.handle  # gives an event to the producers that handle it
        self.scraped_by: dict[EndpointId, str] = {}  # for people
        self._free_slots: list[int] = []
        self._next_slot = 0

    def member(self, endpoint: EndpointId | None) -> Member | None:
        """The member of that id, if it is one."""
        return None if endpoint is None else self.roster.members.get(endpoint)

    def served(self, endpoint: EndpointId | None) -> Member | None:
        """The member of that id that may have served a request: one that has left finishes what it had."""
        return None if endpoint is None else self.member(endpoint) or self.departures.get(endpoint)

    def home(self, stored_id: str) -> EndpointId | None:
        """The member that keeps a response or a conversation, while it is one."""
        found = self.stored.home(stored_id)
        return found if found in self.roster.members else None

    def replace(self, spec: PoolSpec, now: float) -> None:
        """Take the endpoints as discovery sees them now; what stays keeps its state."""
        self.spec = spec
        self._take_listed(now)

    def drain(self, server: str, until: float, now: float) -> Sequence[Endpoint]:
        """Pick the endpoints of a server no more, until then; which they are, those that have left included."""
        known = (*self.spec.endpoints, *(member.endpoint for member in self.departures))
        endpoints = [endpoint for endpoint in known if server in (endpoint.id, endpoint.address)]
        for endpoint in endpoints:
            self.drains.begin(endpoint, until)
        self._take_listed(now)
        return endpoints

    def at(self, server: str) -> Sequence[Member]:
        """The members of a server, `address:port`, or an address with every port of it; those that have left, too."""
        known = (*self.roster.members.values(), *self.departures)
        return [member for member in known if server in (member.id, member.endpoint.address)]

    def _take_listed(self, now: float) -> None:
        """Take what discovery lists and what does not drain."""
        members = self.roster.members
        present = {endpoint.id: endpoint for endpoint in self.spec.endpoints if endpoint not in self.drains}
        for gone in [member for id_, member in members.items() if id_ not in present]:
            self.roster.leave(gone)
            self.scraped_by.pop(gone.id, None)
            self.departures.left(gone, now)
        unknown = [endpoint for endpoint in present.values() if endpoint.id not in members]
        for endpoint in present.values():
            known = members.get(endpoint.id)
            if known is not None and known.endpoint != endpoint:
                self.roster.relabel(known, endpoint)
        self._admit(unknown, now)
        self.handle(MembersChanged(len(members)), now)

    def scraped(self, endpoint: EndpointId, metrics: EngineMetrics, now: float) -> None:
        """Take a scrape."""
        if self.drains.answered(endpoint):
            self._take_listed(now)
        member = self.member(endpoint)
        if member is not None:
            self.roster.scraped(member, now)
            self.handle(Scraped(member, metrics), now)

    def scrape_failed(self, endpoint: EndpointId, fault: ScrapeFault, now: float) -> None:
        """A scrape gave nothing."""
        if fault is ScrapeFault.REFUSED:
            self.drains.refused(endpoint)
        member = self.member(endpoint)
        if member is not None:
            self.roster.scrape_failed(member, fault, now)

    def models_listed(self, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        """Take an endpoint's model list."""
        member = self.member(endpoint)
        if member is not None:
            self.handle(ModelsListed(member, models), now)

    def reported(self, report: Report, now: float) -> None:
        """Learn from how a request went."""
        self.handle(RequestReported(report), now)

    def pass_time(self, now: float) -> None:
        """About a second went by."""
        self.roster.advance(now)
        if self.drains.lapse(now):
            self._take_listed(now)
        self._forget(self.departures.due(now), now)
        self.handle(TimePassed(), now)

    def candidates(self, now: float, random: Random, among: Iterable[str] | None = None) -> Candidates:
        """Who may be picked; see `Roster`."""
        return self.roster.candidates(now, random, among)

    def _admit(self, endpoints: Sequence[Endpoint], now: float) -> None:
        """Take those that are back with what is known of them, and the others as new."""
        back = {endpoint.id: self.departures.returned(endpoint) for endpoint in endpoints}
        new = {endpoint.id: endpoint for endpoint in endpoints if back[endpoint.id] is None}
        self._forget(self.departures.replaced(new, len(new)), now)
        for endpoint in endpoints:
            known = back[endpoint.id]
            if known is None:
                self._join(endpoint, now)
            else:
                known.endpoint = endpoint
                self.roster.join(known)

    def _forget(self, members: Sequence[Member], now: float) -> None:
        for member in members:
            self.handle(EndpointLeft(member), now)
            member.is_known = False
            self._free_slots.append(member.slot)

    def _join(self, endpoint: Endpoint, now: float) -> None:
        if self._free_slots:
            slot = self._free_slots.pop()
        else:
            slot, self._next_slot = self._next_slot, self._next_slot + 1
        member = Member(slot, endpoint)
        self.roster.join(member)
        self.handle(EndpointJoined(member), now)
