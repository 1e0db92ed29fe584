"""Counts scrapes, and logs each change at an endpoint once. A shell: it decides nothing, and the scraper calls it."""

from typing import Protocol

from epp.config.engines import EngineMapping
from epp.domain import EngineMetrics, PoolId, ScrapeFault
from epp.scraping.gaps import gaps
from epp.scraping.schedule.target import ScrapeTarget
from gateway.service import logs

log = logs.get(__name__)


class ScrapeMetrics(Protocol):
    """What an operator counts."""

    def scrape_succeeded(self, pool: PoolId) -> None:
        """A scrape brought metrics."""

    def scrape_failed(self, pool: PoolId, fault: ScrapeFault) -> None:
        """A scrape brought nothing."""


class ScrapeLog:
    """One for all endpoints; what was logged of each is in its target."""

    def __init__(self, metrics: ScrapeMetrics) -> None:
        self._metrics = metrics

    def scraped(self, target: ScrapeTarget, found: EngineMetrics | ScrapeFault, engine: EngineMapping) -> None:
        """A scrape ended; `engine` says which figures the endpoint should report."""
        has_changed = target.scraped(found)
        where = {"pool": target.pool, "endpoint": target.endpoint.id}
        if isinstance(found, ScrapeFault):
            self._metrics.scrape_failed(target.pool, found)
            if has_changed:
                log.warning("endpoint cannot be scraped", fault=found.value, **where)
            return
        self._metrics.scrape_succeeded(target.pool)
        missing = gaps(found, engine)
        if target.lacks(missing):  # it counts as the most loaded one then
            log.warning("endpoint reports no load", missing=missing, **where)
        if has_changed:
            log.info("endpoint can be scraped again", **where)

    def models_missing(self, target: ScrapeTarget, status: int | None) -> None:
        """An endpoint does not list its models; `status` is what it answered, None for nothing."""
        log.warning("models cannot be listed", pool=target.pool, endpoint=target.endpoint.id, status=status)
