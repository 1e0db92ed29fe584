"""LoRA adapters: which are believed loaded where, and which endpoints each belongs to. Pure.

Engines report only adapters that run now; an idle one stays in its slot until another needs it. So the slots of each
endpoint are kept here, in the order of use, as the engine keeps them.

An adapter's homes are the first of the pool's endpoints by rendezvous hashing that have it or have room for it: one
home, and one more each time its requests exceed what an endpoint carries on average. Replicas agree on homes without a
word, and an adapter that was evicted comes back to where its weights and prompts were.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from xxhash import xxh3_64_intdigest

from epp.datalayer.events import (
    EndpointJoined,
    EndpointLeft,
    ModelsListed,
    RequestPlaced,
    RequestReported,
    RequestSettled,
    Scraped,
)
from epp.datalayer.member import Member
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.engines import has_restarted
from epp.domain import EngineMetrics

NOTE: Final = "adapter"  # of a request that needs one: its name
# What a request found at its endpoint: its adapter; a slot to load it into; no slot, so that it waits.
LOADED, LOADS, WAITS = FOUND = ("loaded", "loads", "waits")
# A home takes so many requests of its adapter before another one is worth a load.
HOME_REQUESTS: Final = 4
# Rankings that are kept, as endpoints times adapters: eight bytes each.
RANKINGS_LIMIT: Final = 250_000


class EndpointAdapters:
    """One endpoint's slots: adapters in the order of their last use, and this picker's requests in flight of each."""

    __slots__ = ("loaded", "metrics", "others", "running")

    def __init__(self) -> None:
        self.loaded: OrderedDict[str, None] = OrderedDict()
        self.running: dict[str, int] = {}
        self.others: frozenset[str] = frozenset()  # that ran at the last scrape for somebody else
        self.metrics: EngineMetrics | None = None

    def has(self, adapter: str) -> bool:
        """Whether it is believed loaded."""
        return adapter in self.loaded

    def has_room(self, adapter: str) -> bool:
        """Whether a request for it need not wait until all requests of another adapter have ended."""
        if adapter in self.running or adapter in self.others or self.metrics is None:
            return True
        return len(self.running.keys() | self.others) < self.metrics.max_adapters

    def start(self, adapter: str) -> None:
        """Count a request in: it is loaded from now on, in place of the one that was not used for longest."""
        self.running[adapter] = self.running.get(adapter, 0) + 1
        self._touch(adapter)

    def end(self, adapter: str) -> None:
        """Count a request out; the adapter stays."""
        left = self.running.get(adapter, 0) - 1
        if left > 0:
            self.running[adapter] = left
        else:
            self.running.pop(adapter, None)

    def drop(self, adapter: str) -> None:
        """It is not there after all."""
        if adapter not in self.running:
            self.loaded.pop(adapter, None)

    def scraped(self, metrics: EngineMetrics) -> None:
        """Take a scrape: what runs is loaded, whoever asked for it."""
        if self.metrics is not None and has_restarted(self.metrics, metrics):
            self.loaded.clear()
        self.metrics, self.others = metrics, metrics.active_adapters - self.running.keys()
        for adapter in sorted(self.others):
            self._touch(adapter)

    def _touch(self, adapter: str) -> None:
        self.loaded[adapter] = None
        self.loaded.move_to_end(adapter)
        most = 0 if self.metrics is None else self.metrics.max_adapters
        excess = len(self.loaded) - max(most, 1)
        if excess > 0:
            idle = [name for name in self.loaded if name not in self.running and name not in self.others]
            for name in idle[:excess]:
                del self.loaded[name]


class AdapterProducer:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._endpoints: dict[int, EndpointAdapters] = {}
        self._members: dict[int, Member] = {}
        self._bases: dict[int, frozenset[str]] = {}  # by slot: listed models that are no adapters
        self._base_names: Counter[str] = Counter()  # endpoints by the names of those
        self._with_adapters: set[int] = set()  # slots whose last scrape says that adapters fit
        self._in_flight: Counter[str] = Counter()  # requests by adapter
        self._total = 0  # of those
        self._rankings: OrderedDict[str, tuple[int, ...]] = OrderedDict()  # slots, the first home first
        self.placed: Counter[str] = Counter()  # requests by what they found

    def handles(self) -> Handlers:
        """What is placed, what ends, what engines report."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            Scraped: self._scraped,
            ModelsListed: self._listed,
            RequestPlaced: self._placed,
            RequestSettled: self._settled,
            RequestReported: self._reported,
        }

    def columns(self) -> Mapping[str, Column]:
        """Of the request's adapter; nothing holds for a request that needs none."""
        return {
            "needs_adapter": lambda placing, slots: [self.adapter_of(placing) is not None] * len(slots),
            "adapter_loaded": lambda placing, slots: self._each(EndpointAdapters.has, placing, slots),
            "adapter_room": lambda placing, slots: self._each(EndpointAdapters.has_room, placing, slots),
            "adapter_home": self._are_homes,
        }

    def adapter_of(self, placing: Placing) -> str | None:
        """The adapter that a request needs, None for a base model."""
        target = placing.request.target_model
        return target if self._with_adapters and target and target not in self._base_names else None

    @property
    def rankings(self) -> int:
        """Adapters whose ranking is kept."""
        return len(self._rankings)

    def loaded(self, slot: int) -> Sequence[str]:
        """What an endpoint is believed to hold, in the order of use."""
        return tuple(self._endpoints[slot].loaded)

    def homes_wanted(self, adapter: str) -> int:
        """How many endpoints its requests take, one more included."""
        mean = self._total / max(1, len(self._endpoints))
        return -(-(self._in_flight[adapter] + 1) // max(HOME_REQUESTS, round(mean)))

    def _each(
        self, holds: Callable[[EndpointAdapters, str], bool], placing: Placing, slots: Sequence[int]
    ) -> Sequence[bool]:
        adapter, endpoints = self.adapter_of(placing), self._endpoints
        return [False] * len(slots) if adapter is None else [holds(endpoints[slot], adapter) for slot in slots]

    def _are_homes(self, placing: Placing, slots: Sequence[int]) -> Sequence[bool]:
        adapter = self.adapter_of(placing)
        homes = () if adapter is None else self._homes(adapter, frozenset(slots))
        return [slot in homes for slot in slots]

    def _homes(self, adapter: str, candidates: frozenset[int]) -> Sequence[int]:
        """The first in its ranking that are candidates and can run it now."""
        endpoints = self._endpoints
        able = (slot for slot in self.ranking(adapter) if slot in candidates and endpoints[slot].has_room(adapter))
        return [*islice(able, self.homes_wanted(adapter))]

    def ranking(self, adapter: str) -> tuple[int, ...]:
        """Slots of all endpoints, in the order in which they become homes."""
        known = self._rankings.get(adapter)
        if known is None:
            weights = {slot: xxh3_64_intdigest(f"{adapter}\0{member.id}".encode("utf-8", "surrogatepass"))
                       for slot, member in self._members.items()}  # fmt: skip
            known = self._rankings[adapter] = tuple(sorted(weights, key=weights.__getitem__))
            if len(self._rankings) * len(self._members) > RANKINGS_LIMIT:
                self._rankings.popitem(last=False)
        return known

    def _joined(self, event: EndpointJoined, now: float) -> None:
        del now
        self._members[event.member.slot] = event.member
        self._endpoints[event.member.slot] = EndpointAdapters()
        self._rankings.clear()

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        slot = event.member.slot
        self._list(slot, frozenset())
        for known in (self._members, self._endpoints, self._bases):
            known.pop(slot, None)
        self._with_adapters.discard(slot)
        self._rankings.clear()

    def _scraped(self, event: Scraped, now: float) -> None:
        del now
        slot, metrics = event.member.slot, event.metrics
        self._endpoints[slot].scraped(metrics)
        if metrics.max_adapters:
            self._with_adapters.add(slot)
        else:
            self._with_adapters.discard(slot)

    def _listed(self, event: ModelsListed, now: float) -> None:
        del now
        self._list(event.member.slot, frozenset(each.id for each in event.models if each.item.get("parent") is None))

    def _list(self, slot: int, names: frozenset[str]) -> None:
        self._base_names.subtract(self._bases.get(slot, frozenset()))
        self._base_names.update(names)
        self._base_names = +self._base_names
        self._bases[slot] = names

    def _placed(self, event: RequestPlaced, now: float) -> None:
        del now
        adapter = self.adapter_of(event.placing)
        if adapter is None:
            return
        primary = self._endpoints[event.placement.primary.slot]
        self.placed[LOADED if primary.has(adapter) else LOADS if primary.has_room(adapter) else WAITS] += 1
        event.placement.notes[NOTE] = adapter
        self._in_flight[adapter] += 1
        self._total += 1
        primary.start(adapter)

    def _settled(self, event: RequestSettled, now: float) -> None:
        del now
        adapter = event.placement.notes.pop(NOTE, None)
        if not isinstance(adapter, str):
            return
        self._total -= 1
        self._in_flight[adapter] -= 1
        if not self._in_flight[adapter]:
            del self._in_flight[adapter]
        primary = event.placement.primary
        if self._members.get(primary.slot) is primary:
            self._endpoints[primary.slot].end(adapter)

    def _reported(self, event: RequestReported, now: float) -> None:
        """A request that was refused has loaded nothing: clients may name what no server has."""
        del now
        report = event.report
        endpoint = None if report.served is None else self._endpoints.get(report.served.slot)
        if endpoint is not None and report.computed_nothing:
            endpoint.drop(report.placement.target_model)
