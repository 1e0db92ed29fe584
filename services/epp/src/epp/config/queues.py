"""How requests wait: the `flowControl` section and the plugins that it names become settings of queues. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from epp.config.flowcontrol import FlowControl, PriorityBand
from epp.config.listing import Listing
from epp.flowcontrol.ceilings import StaticUsageLimit
from epp.flowcontrol.items import NEVER, NO_LIMIT, Limit
from epp.flowcontrol.ordering import EarliestDeadlineOrdering, FirstComeOrdering, Ordering
from epp.flowcontrol.policies import GlobalStrictFairness, TokenFairness
from epp.flowcontrol.settings import BAND_BYTES, BAND_REQUESTS, BandSettings, Settings
from epp.scheduling.plugin import SaturationDetector
from epp.scheduling.roles import FAIRNESS_POLICY, ORDERING_POLICY, USAGE_LIMIT_POLICY
from epp.scheduling.saturation import UtilizationDetector

# What counts for a policy of upstream's that is not here; `KNOWN_UPSTREAM` says so to people.
_SUBSTITUTES: Final[Mapping[str, Any]] = MappingProxyType({"program-aware-fairness": TokenFairness()})


def queues_of(section: FlowControl, listing: Listing) -> Settings:
    """The settings in force. The section's references were checked; where one failed, its default stands in."""
    ttl = section.default_request_ttl
    bands = {band.priority: _band(band, section, listing) for band in section.priority_bands}
    unlisted = section.default_priority_band or PriorityBand()
    return Settings(
        limit=Limit(_most(section.max_requests), _most(section.max_bytes), _most(section.max_tokens)),
        bands=bands,
        default_band=_band(unlisted, section, listing),
        default_negative_band=_band(section.default_negative_priority_band or unlisted, section, listing),
        ttl_seconds=float(ttl) or None,
        no_endpoint_ttl_seconds=section.no_endpoint_request_ttl,
        ceilings=listing.chosen(section.usage_limit_policy_plugin_ref, USAGE_LIMIT_POLICY) or StaticUsageLimit(),
        evicts=section.enable_eviction,
    )


def counting_unseen(detector: SaturationDetector | None) -> SaturationDetector | None:
    """The detector as flow control needs it: never blind to what went out since the last scrape."""
    return replace(detector, counts_unseen=True) if isinstance(detector, UtilizationDetector) else detector


def _band(band: PriorityBand, section: FlowControl, listing: Listing) -> BandSettings:
    fairness = band.fairness_policy_ref
    substitute = _SUBSTITUTES.get(fairness, GlobalStrictFairness())
    ordering: Ordering = listing.chosen(band.ordering_policy_ref, ORDERING_POLICY) or FirstComeOrdering()
    if isinstance(ordering, EarliestDeadlineOrdering):
        ordering = replace(ordering, ttl_seconds=float(section.default_request_ttl) or NEVER)
    return BandSettings(
        Limit(band.max_requests or BAND_REQUESTS, band.max_bytes or BAND_BYTES, _most(band.max_tokens)),
        listing.chosen(fairness, FAIRNESS_POLICY) or substitute,
        ordering,
    )


def _most(limit: float) -> float:
    return limit or NO_LIMIT
