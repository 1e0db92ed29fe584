"""How endpoints are scraped: as the configuration wants it, and as one of several replicas. Pure."""

from epp.config import SchedulerConfig
from epp.config.engines import MetricsDataSource, ModelsDataSource
from epp.picking.observer import Publisher
from epp.picking.picker import Picker
from epp.scraping.endpoints import Access, Secure
from epp.scraping.schedule.division import LIVE_SECONDS
from epp.scraping.shared_scrapes import Fleet


def fleet_of(picker: Picker, journal: Publisher) -> Fleet:
    """This replica among others, for scraping."""
    pools = picker.pools
    return Fleet(picker.run, lambda pool, now: pools.live(pool, now - LIVE_SECONDS), journal.publish, pools.scraped_by)


def scrape_source(config: SchedulerConfig) -> Access:
    """How the configuration wants endpoints to be asked."""
    extractor, mappings = config.extractor, config.extractor.mappings()
    return Access(
        engine_of=lambda labels: mappings[extractor.engine_of(labels)],
        metrics_path=config.metrics.path,
        metrics_port=config.metrics.port,
        models_path=config.models.path,
        models_seconds=float(config.models.interval),
        secure=secure_of(config.metrics),
        models_secure=secure_of(config.models),
    )


def secure_of(source: MetricsDataSource | ModelsDataSource) -> Secure | None:
    """How a source wants its endpoints asked over TLS."""
    if source.scheme != "https":
        return None
    verifies = not source.insecure_skip_verify
    return Secure(verifies, source.ca_cert_path, source.client_cert_path, source.client_key_path)
