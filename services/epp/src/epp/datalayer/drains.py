"""Endpoints that are about to stop, although discovery still lists them. Pure; the pool is the only writer.

A drain ends once the server has stopped and answers again, as after a restart under the same address; or by time, where
it was not stopped after all.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from epp.domain import Endpoint, EndpointId

# In a rollout of a large pool the oldest drains end first.
DRAINS_LIMIT: Final = 256


@dataclass(slots=True)
class _Drain:
    name: str  # of the endpoint: another server under the same address is not meant
    until: float
    has_stopped: bool = False


class Drains:
    """Oldest first."""

    def __init__(self) -> None:
        self._drains: OrderedDict[EndpointId, _Drain] = OrderedDict()

    def __contains__(self, endpoint: Endpoint) -> bool:
        known = self._drains.get(endpoint.id)
        return known is not None and known.name == endpoint.name

    def begin(self, endpoint: Endpoint, until: float) -> None:
        """Drain an endpoint; a later order replaces an earlier one."""
        self._drains.pop(endpoint.id, None)
        self._drains[endpoint.id] = _Drain(endpoint.name, until)
        if len(self._drains) > DRAINS_LIMIT:
            self._drains.popitem(last=False)

    def refused(self, endpoint: EndpointId) -> None:
        """It listens no more."""
        known = self._drains.get(endpoint)
        if known is not None:
            known.has_stopped = True

    def answered(self, endpoint: EndpointId) -> bool:
        """It listens; whether a drain ended by that."""
        known = self._drains.get(endpoint)
        if known is None or not known.has_stopped:
            return False
        del self._drains[endpoint]
        return True

    def lapse(self, now: float) -> bool:
        """End those whose time is over; whether there was any."""
        over = [endpoint for endpoint, drain in self._drains.items() if now >= drain.until]
        for endpoint in over:
            del self._drains[endpoint]
        return bool(over)
