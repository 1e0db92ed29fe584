"""Members that discovery lists no more, until they are forgotten. Pure; the pool is the only writer.

A server that leaves finishes what it has, so its reservations count on and people see it as draining. One whose address
is listed again within seconds was never away: it comes back with its requests and with what it is believed to cache.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from epp.datalayer.events import AttemptFailed, RequestPlaced, RequestSettled
from epp.datalayer.member import Member
from epp.datalayer.placement import Placement
from epp.datalayer.producer import Handlers
from epp.domain import Endpoint, EndpointId, PickId

# A readiness probe that fails once, or a rollout that is taken back, is over by then.
LINGER_SECONDS: Final = 30.0
# Longer than the grace periods that model servers get; what still runs then was lost.
LONGEST_DRAIN_SECONDS: Final = 900.0
# In a rollout of a large pool the earliest are forgotten first.
DEPARTED_LIMIT: Final = 256


class Departures:
    """Oldest first. It counts the requests of all members, since each may leave."""

    def __init__(self) -> None:
        self._left: dict[EndpointId, tuple[Member, float]] = {}
        self._requests: dict[int, int] = {}  # by slot
        self._moved: dict[PickId, Placement] = {}  # in flight, and no longer where they were placed

    def handles(self) -> Handlers:
        """Which requests are where."""
        return {RequestPlaced: self._placed, AttemptFailed: self._attempt_failed, RequestSettled: self._settled}

    def __iter__(self) -> Iterator[Member]:
        return (member for member, _ in self._left.values())

    def draining(self) -> Sequence[Member]:
        """Those that still have requests, by their address."""
        return sorted((each for each in self if self._requests.get(each.slot)), key=lambda member: member.id)

    def in_flight(self, member: Member) -> int:
        """Requests that a member, listed or not, has or may have: the proxy may have walked there."""
        walked = sum(
            member.id in placement.targets and all(share.member is not member for share in placement.shares)
            for placement in self._moved.values()
        )
        return self._requests.get(member.slot, 0) + walked

    def get(self, endpoint: EndpointId) -> Member | None:
        """The departed member of that id."""
        found = self._left.get(endpoint)
        return None if found is None else found[0]

    def left(self, member: Member, now: float) -> None:
        """It is not listed from now on."""
        self._left[member.id] = (member, now)

    def returned(self, endpoint: Endpoint) -> Member | None:
        """The member that is listed again; None for an address that was not, or that another server has now."""
        known = self.get(endpoint.id)
        if known is None or known.endpoint.name != endpoint.name:
            return None
        del self._left[endpoint.id]
        return known

    def replaced(self, endpoints: Mapping[EndpointId, Endpoint], newcomers: int) -> Sequence[Member]:
        """Those whose address another server has now, and of those without requests as many as newcomers take the
        place of: to forget."""
        gone = [member for member in self if member.id in endpoints]
        idle = [member for member in self if member.id not in endpoints and not self._requests.get(member.slot)]
        return self._forget([*gone, *idle[:newcomers]])

    def due(self, now: float) -> Sequence[Member]:
        """Those that will not come back, and have no request any more or have had one for too long: to forget."""
        over = [
            member
            for member, at in self._left.values()
            if now - at >= (LONGEST_DRAIN_SECONDS if self._requests.get(member.slot) else LINGER_SECONDS)
        ]
        excess = len(self._left) - DEPARTED_LIMIT
        return self._forget(list(self)[:excess] if excess > len(over) else over)

    def _forget(self, members: Sequence[Member]) -> Sequence[Member]:
        for member in members:
            del self._left[member.id]
            self._requests.pop(member.slot, None)
        return members

    def _placed(self, event: RequestPlaced, now: float) -> None:
        del now
        requests = self._requests
        for share in event.placement.shares:
            slot = share.member.slot
            requests[slot] = requests.get(slot, 0) + 1

    def _attempt_failed(self, event: AttemptFailed, now: float) -> None:
        del now
        if event.is_in_flight:
            self._moved[event.placement.id] = event.placement

    def _settled(self, event: RequestSettled, now: float) -> None:
        del now
        self._moved.pop(event.placement.id, None)
        for share in event.placement.shares:
            if share.member.is_known:
                self._requests[share.member.slot] -= 1
