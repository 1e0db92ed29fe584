"""The endpoint picker's composition root: the only module that constructs everything.

discovery ─┐                      ┌─ ext_proc door (gRPC)
scraper ───┼──▶ Picker (pure) ◀───┼─ HTTP door
sharing ───┘        │             └─ access log (gRPC)
                    └──▶ metrics, /debug/*
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from random import Random

from epp import admin as debug
from epp.config import SchedulerConfig
from epp.configuration import ConfigSource
from epp.discovery import Discovery, Pools
from epp.doors.extproc import external_processor
from epp.feedback import NAMESPACES, FeedbackIntake
from epp.metrics import Metrics
from epp.model import PoolId
from epp.observer import Journal, NullJournal
from epp.picker import Picker
from epp.scrape import Scraper, Source
from epp.sharing.stream import Apply, SharedStream
from gateway import accesslog, admin, clock, lifecycle
from gateway.accesslog import AccessLogReceiver
from gateway.extproc.service import Listeners, serve
from gateway.health import Health

EXPIRE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    listeners: Listeners
    metrics_port: int
    config_dirs: tuple[Path, ...]
    replica: str
    config_file: Path | None = None
    config_text: str | None = None
    default_pool: PoolId | None = None
    redis_url: str | None = None
    http_port: int | None = None
    http_socket: Path | None = None
    explains: bool = False


async def serve_until(stopping: asyncio.Event, options: Options) -> None:
    """Build, serve, drain."""
    source = ConfigSource(options.config_file, options.config_text)
    config = source.load()
    metrics = Metrics()
    metrics.warned(config.warnings)
    stream = shared_stream(options, lambda event: picker.apply(event, clock.monotonic()), metrics)
    picker = build_picker(options, config, metrics, stream or NullJournal())
    scraper = Scraper(picker, metrics, clock.monotonic, scrape_source(config), Random())

    def replace_pools(pools: Pools) -> None:
        picker.replace_pools(pools, clock.monotonic())
        scraper.replace_pools(pools)

    def reconfigure(changed: SchedulerConfig) -> None:
        metrics.warned(changed.warnings)
        picker.reconfigure(changed)
        scraper.reconfigure(scrape_source(changed))

    def is_ready() -> bool:
        return picker.is_ready() and not stopping.is_set()

    metrics.describe_pools(lambda: picker.pools(clock.monotonic()))
    intake = FeedbackIntake(picker, clock.monotonic, metrics)
    log_receiver = AccessLogReceiver(accesslog.Codec(NAMESPACES), intake.receive)
    processor = external_processor(picker, clock.monotonic, metrics, lambda: log_receiver.is_attached)
    operators = admin.application(metrics.registry, is_ready, debug.routes(picker, clock.monotonic))
    async with (
        lifecycle.background(
            Discovery(options.config_dirs, replace_pools).follow(),
            scraper.run(),
            source.follow(reconfigure),
            expire(picker),
            *(() if stream is None else (stream.run(),)),
        ),
        admin.serving(operators, options.listeners.host, options.metrics_port),
    ):
        lifecycle.tune_collector()
        await serve(stopping, options.listeners, Health(is_ready), [processor, log_receiver])


def build_picker(options: Options, config: SchedulerConfig, metrics: Metrics, journal: Journal) -> Picker:
    """The brain."""
    return Picker(
        config,
        random=Random(),
        replica=options.replica,
        observer=metrics,
        journal=journal,
        default_pool=options.default_pool,
        explains=options.explains,
    )


def shared_stream(options: Options, apply: Apply, metrics: Metrics) -> SharedStream | None:
    """The link to the other replicas, when there is one."""
    return SharedStream(options.redis_url, options.replica, apply, metrics) if options.redis_url else None


def scrape_source(config: SchedulerConfig) -> Source:
    """How the configuration wants endpoints to be asked."""
    extractor, mappings = config.extractor, config.extractor.mappings()
    return Source(
        engine_of=lambda labels: mappings[extractor.engine_of(labels)],
        metrics_path=config.metrics.path,
        metrics_port=config.metrics.port,
        models_path=config.models.path,
        models_seconds=float(config.models.interval),
        is_https=config.metrics.scheme == "https",
        verifies=not config.metrics.insecure_skip_verify,
    )


async def expire(picker: Picker) -> None:
    """Let the picker's time pass."""
    while True:
        await asyncio.sleep(EXPIRE_SECONDS)
        picker.expire(clock.monotonic())
