"""Which replica scrapes which endpoint, and when one does it for another. Pure.

Each replica ranks those that live by a hash of each with the endpoint; the highest one that reaches it scrapes, and
publishes what came. All come to the same without a word, and a replica that comes or goes moves only its own share.
What nobody scrapes in time, because views differ for a moment or the one that should is stuck, the others scrape.
"""

from collections.abc import Collection
from typing import Final

import xxhash

from epp.domain import EndpointId, RunId
from epp.scraping.schedule.target import ScrapeTarget

# A replica whose last sign is older does not scrape any more: it beats twice a second.
LIVE_SECONDS: Final = 0.8
# Views of who lives are compared this often, so that a share is taken over within a second.
LOOK_SECONDS: Final = 0.1
# Later than its interval by so much, or by four intervals, a scrape of another replica is overdue.
PATIENCE_SECONDS: Final = 0.5
PATIENCE_INTERVALS: Final = 4.0
# Each replica looks for itself so often whether it reaches an endpoint that another one scrapes.
CHECK_SECONDS: Final = 60.0
# While another replica reached an endpoint so short a time ago, it is not out for one that does not.
REACHED_SECONDS: Final = 3.0


def rank(run: RunId, endpoint: EndpointId) -> tuple[int, RunId]:
    """What decides between replicas."""
    return xxhash.xxh3_64_intdigest(f"{run}\0{endpoint}".encode()), run


def scraper_of(target: ScrapeTarget, own: RunId, others: Collection[RunId]) -> RunId:
    """Who scrapes an endpoint: of those that reach it, as far as is known; where nobody does, each for itself."""
    if not others:
        return own
    able = [run for run in (own, *others) if run not in target.unable]
    return max(able, key=lambda run: rank(run, target.endpoint.id), default=own)


def until_due(target: ScrapeTarget, interval: float, now: float, *, is_own: bool) -> float:
    """Seconds until an endpoint that may be another replica's is scraped here; none where it is now."""
    if is_own or target.fault is not None or target.is_doubtful:
        return 0.0
    patience = min(PATIENCE_SECONDS, PATIENCE_INTERVALS * interval)
    return max(0.0, min(target.taken_at + interval + patience, target.checked_at + CHECK_SECONDS) - now)
