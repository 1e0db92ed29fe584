"""What holds for the queues of a pool: limits, policies, TTLs. Pure values; the configuration makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from epp.flowcontrol.ceilings import Ceilings, StaticUsageLimit
from epp.flowcontrol.items import Limit
from epp.flowcontrol.ordering import FirstComeOrdering, Ordering
from epp.flowcontrol.policies import FairnessPolicy, GlobalStrictFairness

BAND_REQUESTS: Final = 5000  # upstream's defaults of a band
BAND_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BandSettings:
    """What holds for one priority."""

    limit: Limit = field(default_factory=lambda: Limit(BAND_REQUESTS, BAND_BYTES))
    fairness: FairnessPolicy = field(default_factory=GlobalStrictFairness)
    ordering: Ordering = field(default_factory=FirstComeOrdering)


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
    evicts: bool = False  # whether sheddable answers end for more important requests

    def band(self, priority: int) -> BandSettings:
        """The settings of a priority, listed or not."""
        listed = self.bands.get(priority)
        return listed or (self.default_band if priority >= 0 else self.default_negative_band)
