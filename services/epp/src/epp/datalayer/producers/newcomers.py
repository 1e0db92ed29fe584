"""Newcomers: endpoints that joined or restarted a moment ago, and which prefixes they take over. Pure.

A prefix holds its requests where it is cached, so an endpoint with an empty cache would stay cold wherever prompts are
shared by few. While it is new and carries less than the others, it gets the conversations that begin with its share of
the prefixes: of n endpoints each has every nth, by hash, a few more each second. Conversations that have begun stay.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from epp.datalayer.events import EndpointJoined, EndpointLeft, Scraped
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.engines import has_restarted
from epp.datalayer.producers.load import LoadProducer
from epp.datalayer.producers.prefixes import PrefixProducer
from epp.domain import EngineMetrics

# In a minute even rare prefixes have come by, and a newcomer carries its share.
NEW_SECONDS: Final = 60.0
# Its share grows evenly for so long, since each prefix that it takes over is computed there while others wait.
GROWTH_SECONDS: Final = 40.0
_TURNS: Final = 64  # in which prefixes are taken over
# What joins so soon after the pool began is no newcomer: nobody is ahead of it.
_SETTLED_SECONDS: Final = 1.0


class NewcomerProducer:
    """See the module's docstring."""

    def __init__(self, prefixes: PrefixProducer, load: LoadProducer) -> None:
        self._prefixes = prefixes
        self._load = load
        self._came_at: dict[int, float] = {}  # by slot
        self._metrics: dict[int, EngineMetrics] = {}  # by slot: the scrape before
        self._newcomers: Sequence[int] = ()  # slots; computed anew when one comes, goes, or is new no more
        self._until = float("inf")

    def handles(self) -> Handlers:
        """Who comes and goes."""
        return {EndpointJoined: self._joined, EndpointLeft: self._left, Scraped: self._scraped}

    def columns(self) -> Mapping[str, Column]:
        """Which candidate should begin to hold the prefix of this request; at most one."""
        return {"takes_over": self._takes_over}

    def _takes_over(self, placing: Placing, slots: Sequence[int]) -> Sequence[bool]:
        if placing.now >= self._until:
            self._find(placing.now)
        heir = self._heir(placing, slots) if self._newcomers else None
        return [False] * len(slots) if heir is None else [slot == heir for slot in slots]

    def _heir(self, placing: Placing, slots: Sequence[int]) -> int | None:
        """The newcomer whose share the prefix belongs to, if it carries less than the candidates do on average."""
        block = self._prefixes.longest_match(placing)
        if block is None or not placing.request.begins_conversation:
            return None
        turn, at = divmod(block, len(self._came_at))
        if at >= len(self._newcomers):
            return None
        heir, requests = self._newcomers[at], self._load.requests
        grown = (placing.now - self._came_at[heir]) / GROWTH_SECONDS
        if turn % _TURNS >= grown * _TURNS:
            return None
        return heir if requests(heir) * len(slots) < sum(map(requests, slots)) else None

    def _find(self, now: float) -> None:
        came = self._came_at
        first = min(came.values(), default=now) + _SETTLED_SECONDS
        self._newcomers = [slot for slot, at in came.items() if at > first and now < at + NEW_SECONDS]
        self._until = min((came[slot] + NEW_SECONDS for slot in self._newcomers), default=float("inf"))

    def _joined(self, event: EndpointJoined, now: float) -> None:
        self._came_at[event.member.slot] = now
        self._find(now)

    def _left(self, event: EndpointLeft, now: float) -> None:
        slot = event.member.slot
        self._came_at.pop(slot, None)
        self._metrics.pop(slot, None)
        self._find(now)

    def _scraped(self, event: Scraped, now: float) -> None:
        slot, metrics = event.member.slot, event.metrics
        before = self._metrics.get(slot)
        self._metrics[slot] = metrics
        if before is not None and has_restarted(before, metrics):
            self._came_at[slot] = now
            self._find(now)
