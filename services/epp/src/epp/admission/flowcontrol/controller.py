"""The machine of flow control for one pool. Pure, one owner.

    enqueue ──▶ waiting ──▶ next: dispatched, while saturation is below the band's ceiling
                   ├──────▶ cancel: its client left
                   └──────▶ expire: it waited longer than its TTL

Each item gets exactly one outcome. Its owner calls `next` again and again, with the saturation that each dispatch left
behind, whenever something may have changed: an arrival, a settlement, a scrape. So there is no tick, and no dispatch
that the last one's load has not been counted for.

The most important band that is not empty decides: while it is gated, no band below it is served. Ceilings are those of
all bands, empty ones too, so that a less important band leaves room for a more important one that has nothing now.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from epp.admission.flowcontrol.band import Band
from epp.admission.flowcontrol.ceilings import Ceilings, StaticUsageLimit
from epp.admission.flowcontrol.fairness import Fairness, GlobalStrict
from epp.admission.flowcontrol.ordering import Ordering, first_come
from epp.admission.flowcontrol.pace import Pace
from epp.admission.flowcontrol.waiting import NOTHING, Item, Limit, Outcome, Size

BAND_REQUESTS: Final = 5000  # upstream's defaults of a band
BAND_BYTES: Final = 1_000_000_000
# Bands kept beside those that the configuration lists. Priorities come from objectives, which operators write; a band
# that was empty for longest makes room, and with it goes what its queues were served.
UNLISTED_BANDS_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class BandSettings:
    """What holds for one priority. `fairness` makes the state that each band has of its own."""

    limit: Limit = field(default_factory=lambda: Limit(BAND_REQUESTS, BAND_BYTES))
    fairness: Callable[[], Fairness] = GlobalStrict
    ordering: Ordering = first_come


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one pool. A TTL of None is none; the one without endpoints counts while the pool is empty."""

    limit: Limit = field(default_factory=Limit)
    bands: Mapping[int, BandSettings] = field(default_factory=dict)
    default_band: BandSettings = field(default_factory=BandSettings)
    default_negative_band: BandSettings = field(default_factory=BandSettings)
    ttl_seconds: float | None = None
    no_endpoint_ttl_seconds: float | None = None
    ceilings: Ceilings = field(default_factory=StaticUsageLimit)

    def band(self, priority: int) -> BandSettings:
        """The settings of a priority, listed or not."""
        listed = self.bands.get(priority)
        return listed or (self.default_band if priority >= 0 else self.default_negative_band)


class FlowController:
    """See the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: OrderedDict[int, Item] = OrderedDict()  # by arrival
        self._bands: dict[int, Band] = {}
        self._order: list[int] = []  # priorities of all bands, the most important first
        self._ceilings: dict[int, float] = {}
        for priority in settings.bands:
            self._add_band(priority)
        self._size = NOTHING
        self._has_endpoints = True
        self._since = float("-inf")  # when the pool got or lost its endpoints
        self._pace = Pace()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> Size:
        """All that waits."""
        return self._size

    def bands(self) -> Iterator[Band]:
        """Every band, the most important first."""
        return (self._bands[priority] for priority in self._order)

    def enqueue(self, item: Item) -> Outcome | None:
        """Let a request wait; why it may not, or None."""
        if not self._has_endpoints and self._ttl() == 0:
            return Outcome.REJECTED_NO_ENDPOINTS
        if item.priority not in self._bands:
            self._add_band(item.priority)
        band = self._bands[item.priority]
        if not self._settings.limit.holds(self._size + item.size) or not band.has_room(item.size):
            return Outcome.REJECTED_CAPACITY
        band.add(item)
        self._waiting[item.id] = item
        self._size += item.size
        return None

    def next(self, saturation: float, now: float) -> Item | None:
        """The request to dispatch now, which leaves with that; None while nothing may go."""
        band = self._next_band()
        if band is None or not self._has_endpoints or saturation >= self._ceilings[band.priority]:
            return None
        item = band.head()
        band.dispatched(item)
        self._leave(item)
        self._pace.left(now)
        return item

    def cancel(self, item_id: int) -> Item | None:
        """A client left: its request, or None if it does not wait."""
        item = self._waiting.get(item_id)
        if item is not None:
            self._leave(item)
        return item

    def expire(self, now: float) -> list[tuple[Item, Outcome]]:
        """Those that have waited too long."""
        outcome = Outcome.EVICTED_TTL if self._has_endpoints else Outcome.EVICTED_NO_ENDPOINTS
        gone: list[tuple[Item, Outcome]] = []
        while (deadline := self.deadline()) is not None and deadline <= now:
            item = next(iter(self._waiting.values()))
            self._leave(item)
            gone.append((item, outcome))
        return gone

    def deadline(self) -> float | None:
        """When the next request will have waited too long; None when none will."""
        ttl = self._ttl()
        if ttl is None or not self._waiting:
            return None
        oldest = next(iter(self._waiting.values()))
        return max(oldest.arrived_at, self._since) + ttl

    def drain(self) -> list[Item]:
        """Everything that waits leaves."""
        gone = list(self._waiting.values())
        for item in gone:
            self._leave(item)
        return gone

    def pool_changed(self, now: float, *, has_endpoints: bool) -> None:
        """The pool has endpoints, or none. A change starts the TTL of everything that waits anew."""
        if has_endpoints is not self._has_endpoints:
            self._has_endpoints, self._since = has_endpoints, now

    def charge(self, priority: int, flow: str, tokens: int) -> None:
        """The answer of a dispatched request cost tokens, beside those of its prompt."""
        band = self._bands.get(priority)
        if band is not None:
            band.charge(flow, tokens)

    def retry_after(self, priority: int, now: float) -> float:
        """Seconds until what waits before a request of this priority will have left, at the present pace."""
        ahead = sum(len(band) for band in self._bands.values() if band.priority >= priority)
        return self._pace.seconds_for(ahead + 1, now)

    def gated(self, saturation: float) -> tuple[int, float] | None:
        """The priority and the ceiling of the band that is next and may not be served; None if none is gated."""
        band = self._next_band()
        if band is None or saturation < self._ceilings[band.priority]:
            return None
        return band.priority, self._ceilings[band.priority]

    def _next_band(self) -> Band | None:
        """The most important one that is not empty."""
        return next((band for priority in self._order if len(band := self._bands[priority])), None)

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
        settings = self._settings.band(priority)
        self._bands[priority] = Band(priority, settings.limit, settings.fairness(), settings.ordering)
        self._order = sorted(self._bands, reverse=True)
        self._ceilings = dict(zip(self._order, self._settings.ceilings.ceilings(self._order), strict=True))

    def _leave(self, item: Item) -> None:
        del self._waiting[item.id]
        self._size -= item.size
        self._bands[item.priority].remove(item)
