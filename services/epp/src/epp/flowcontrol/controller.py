"""The machine of flow control for one pool. Pure, one owner.

    passed: it need not wait, since nothing goes before it and saturation is below its ceiling
    enqueue ─▶ waiting ──▶ next: dispatched, while saturation is below the band's ceiling
                  ├──────▶ cancel: its client left
                  └──────▶ expire: it waited longer than its TTL, or than its door

Each item gets exactly one outcome. Its owner calls `next` again and again, with the saturation that each dispatch left
behind, whenever something may have changed: an arrival, a settlement, a scrape. So there is no tick, and no dispatch
that the last one's load has not been counted for.

The most important band that is not empty decides: while it is gated, no band below it is served. Ceilings are those of
all bands, empty ones too, so that a less important band leaves room for a more important one that has nothing now.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from epp.flowcontrol.band import Band
from epp.flowcontrol.heap import ItemHeap
from epp.flowcontrol.items import NEVER, NOTHING, Item, Outcome, Size
from epp.flowcontrol.pace import Pace
from epp.flowcontrol.settings import Settings

# Bands kept beside those that the configuration lists. Priorities come from objectives, which operators write; a band
# that was empty for longest makes room, and with it goes what its queues were served.
UNLISTED_BANDS_LIMIT: Final = 64


class Gated(NamedTuple):
    """The band that is next and may not be served at this saturation."""

    priority: int
    ceiling: float
    saturation: float


class FlowController:
    """See the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: OrderedDict[int, Item] = OrderedDict()  # by arrival
        self._impatient = ItemHeap()  # by the time at which their doors give up
        self._bands: dict[int, Band] = {}
        self._order: list[int] = []  # priorities of all bands, the most important first
        self._ceilings: dict[int, float] = {}
        for priority in settings.bands:
            self._add_band(priority)
        self.size = NOTHING  # all that waits
        self._has_endpoints = True
        self._since = float("-inf")  # when the pool got or lost its endpoints
        self._pace = Pace()

    def __len__(self) -> int:
        return len(self._waiting)

    def bands(self) -> Iterator[tuple[Band, float]]:
        """Every band with its ceiling, the most important first."""
        return ((self._bands[priority], self._ceilings[priority]) for priority in self._order)

    def waiting(self) -> Iterator[Item]:
        """Everything that waits, by arrival."""
        return iter(self._waiting.values())

    def has_before(self, priority: int) -> bool:
        """Whether anything waits that goes before a new request of this priority."""
        return bool(self._waiting) and any(known >= priority and len(self._bands[known]) for known in self._order)

    def ceiling(self, priority: int) -> float:
        """The saturation at which requests of this priority are gated."""
        if priority not in self._bands:
            self._add_band(priority)
        return self._ceilings[priority]

    def passed(self, priority: int, flow: str, size: Size, now: float) -> None:
        """A request goes that need not wait: nothing goes before it, and saturation is below its ceiling."""
        self._bands[priority].passed(flow, size)
        self._pace.left(now)

    def enqueue(self, item: Item) -> Outcome | None:
        """Let a request wait; why it may not, or None."""
        if not self._has_endpoints and self._ttl() == 0:
            return Outcome.REJECTED_NO_ENDPOINTS
        if item.priority not in self._bands:
            self._add_band(item.priority)
        has_room = self._settings.limit.holds(self.size.plus(item.size)) and self._bands[item.priority].has_room(
            item.size
        )
        if not has_room:
            return Outcome.REJECTED_CAPACITY
        self.keep(item)
        return None

    def keep(self, item: Item) -> None:
        """Let a request wait, whatever limits say: it waits already, under another configuration."""
        if item.priority not in self._bands:
            self._add_band(item.priority)
        self._bands[item.priority].add(item)
        self._waiting[item.id] = item
        self.size = self.size.plus(item.size)
        if item.patience_seconds != NEVER:
            self._impatient.push((item.gives_up_at,), item)

    def head(self) -> Item | None:
        """The request that is next; None while nothing waits."""
        band = self._next_band()
        return None if band is None else band.head()

    def next(self, saturation: float, now: float) -> Item | None:
        """The request to dispatch now, which leaves with that; None while nothing may go."""
        band = self._next_band()
        if band is None or not self._has_endpoints or saturation >= self._ceilings[band.priority]:
            return None
        item = band.head()
        self.dispatch(item, now)
        return item

    def dispatch(self, item: Item, now: float) -> None:
        """A request that waits goes, whatever the saturation."""
        self._bands[item.priority].dispatched(item)
        self._leave(item)
        self._pace.left(now)

    def cancel(self, item_id: int) -> Item | None:
        """A client left: its request, or None if it does not wait."""
        item = self._waiting.get(item_id)
        if item is not None:
            self._leave(item)
        return item

    def expire(self, now: float) -> tuple[Item, Outcome] | None:
        """A request that has waited too long, which leaves with that; None while there is none."""
        item = self._overdue(now)
        if item is None:
            return None
        self._leave(item)
        return item, Outcome.EVICTED_TTL if self._has_endpoints else Outcome.EVICTED_NO_ENDPOINTS

    def pool_changed(self, now: float, *, has_endpoints: bool) -> None:
        """The pool has endpoints, or none. A change starts the TTL of everything that waits anew."""
        if has_endpoints is not self._has_endpoints:
            self._has_endpoints, self._since = has_endpoints, now

    def answered(self, priority: int, flow: str, tokens: int) -> None:
        """The answer to a dispatched request had so many tokens."""
        band = self._bands.get(priority)
        if band is not None:
            band.answered(flow, tokens)

    def retry_after(self, priority: int, now: float) -> float:
        """Seconds until what waits before a request of this priority will have left, at the present pace."""
        ahead = sum(len(band) for band in self._bands.values() if band.priority >= priority)
        return self._pace.seconds_for(ahead + 1, now)

    def gated(self, saturation: float) -> Gated | None:
        """The band that is next, if it may not be served."""
        band = self._next_band()
        if band is None or saturation < self._ceilings[band.priority]:
            return None
        return Gated(band.priority, self._ceilings[band.priority], saturation)

    def _next_band(self) -> Band | None:
        """The most important one that is not empty."""
        if not self._waiting:
            return None
        return next((band for priority in self._order if len(band := self._bands[priority])), None)

    def _overdue(self, now: float) -> Item | None:
        if self._impatient and self._impatient.head().gives_up_at <= now:
            return self._impatient.head()
        ttl = self._ttl()
        if ttl is None or not self._waiting:
            return None
        oldest = next(iter(self._waiting.values()))
        return oldest if max(oldest.arrived_at, self._since) + ttl <= now else None

    def _ttl(self) -> float | None:
        settings = self._settings
        if self._has_endpoints or settings.no_endpoint_ttl_seconds is None:
            return settings.ttl_seconds
        return settings.no_endpoint_ttl_seconds

    def _add_band(self, priority: int) -> None:
        unlisted = [known for known in self._bands if known not in self._settings.bands]
        if len(unlisted) >= UNLISTED_BANDS_LIMIT:
            empty = next((known for known in unlisted if not len(self._bands[known])), None)
            if empty is not None:
                del self._bands[empty]
        self._bands[priority] = Band(priority, self._settings.band(priority))
        self._order = sorted(self._bands, reverse=True)
        self._ceilings = dict(zip(self._order, self._settings.ceilings.ceilings(self._order), strict=True))

    def _leave(self, item: Item) -> None:
        del self._waiting[item.id]
        self._impatient.discard(item)
        self.size = self.size.minus(item.size)
        self._bands[item.priority].remove(item)
