"""The endpoint picker's composition root: the only module that constructs everything.

discovery ─┐                      ┌─ ext_proc transport (gRPC)
scraper ───┼──▶ Picker (pure) ◀───┼─ HTTP transport
sharing ───┘        │             └─ access log (gRPC)
                    └──▶ metrics, /debug/*      quotas (gRPC), beside it
"""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from epp.admission.configured import ConfiguredGate
from epp.app import debug as debug
from epp.app import drain, journals, replicas, usage
from epp.app.config_file import ConfigSource
from epp.app.guarded import GuardedPicker, Judge
from epp.app.page import Page
from epp.app.rounds import beat, name_labels, pass_time
from epp.app.scrape_source import fleet_of, scrape_source
from epp.app.timing import TimedGate, TimedPicker
from epp.billing.biller import Biller, Billing
from epp.config import SchedulerConfig
from epp.config.flags import ScrapeFlags
from epp.discovery import Discovery, Pools, PriorityOrder, Scope
from epp.domain import ModelsShared, PickId, PoolId, ScrapeTaken, SharedEvent
from epp.picking.picker import Picker
from epp.recording.recorder import Recorder, Recording
from epp.scraping.keyed_models import KeyedModels
from epp.scraping.scraper import Scraper
from epp.sharing.follower import Follower
from epp.sharing.journal import FLEET, Knowledge
from epp.sharing.redis_address import Address, Password
from epp.sharing.stream_keys import EARLIER
from epp.telemetry.adapters import AdapterMetrics
from epp.telemetry.caching import CacheMetrics
from epp.telemetry.generations import Generations, Names
from epp.telemetry.metrics import Metrics
from epp.telemetry.quotas import QuotaMetrics
from epp.telemetry.sharing import SharingMetrics
from epp.transports.accesslog import METADATA, TAGS, FeedbackIntake, LogSight
from epp.transports.extproc.streams import OpenStreams
from epp.transports.picker import RequestPicker
from epp.transports.servers.extproc import Picks, external_processor, fused_processor
from epp.transports.servers.http import HttpTransport
from epp.transports.servers.http_connection import Shared
from gateway.accesslog import codec as accesslog
from gateway.accesslog.receiver import AccessLogReceiver
from gateway.extproc.service import Listeners, serve
from gateway.kube.sources import opening
from gateway.kube.sources.cluster.source import Consumer
from gateway.kube.sources.source import Source
from gateway.quotas.counters import MemoryCounters
from gateway.quotas.quotas import Quotas
from gateway.ratelimit import codec as ratelimit
from gateway.ratelimit.gate import QuotaGate
from gateway.ratelimit.service import RateLimits
from gateway.router.kept import KeptBodies
from gateway.router.metrics import Metrics as RouterMetrics
from gateway.router.routers import Choice, Known, Router, conversation_tracer
from gateway.rpc.health import Health
from gateway.service import admin, clock, lifecycle, logs
from gateway.service.worker import Worker
from gateway.tenancy.tenants import Tenants
from gateway.wire.errors import Rejection

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from epp.sharing.quota_counters import RedisCounters

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    listeners: Listeners
    metrics_port: int
    replica: str
    objects: opening.Origin | None = None
    scope: Scope = field(default_factory=Scope)
    config_file: Path | None = None
    config_text: str | None = None
    scrape_flags: ScrapeFlags = field(default_factory=ScrapeFlags)
    default_pool: PoolId | None = None
    redis: Address | None = None
    redis_password: Password | None = field(default=None, repr=False)
    http_host: str = "127.0.0.1"
    http_port: int | None = None
    http_socket: Path | None = None
    explains: bool = False
    metric_names: Names = Names.INFERENCE
    traces: bool = False
    guard: Judge | None = None
    honours_subset: bool = True
    priority_order: PriorityOrder = PriorityOrder.HIGHER_FIRST
    router: Choice | None = None  # the body-based router in the same process
    recording: Recording | None = None
    billing: Billing = field(default_factory=Billing)
    operators_token: str | None = field(default=None, repr=False)
    quota_token: str | None = field(default=None, repr=False)
    worker: Worker | None = None  # of several on this host

    @property
    def link(self) -> journals.Link:
        """What carries knowledge to other replicas."""
        return journals.Link(self.redis, self.redis_password, self.worker)

    @property
    def counting_redis(self) -> Address | None:
        """The Redis that counts quotas and keeps the bill: one that takes scripts of several keys."""
        return self.redis if self.redis is not None and self.redis.takes_several_keys else None


class Stack:
    """Everything that lives as long as the process, built but not yet running."""

    def __init__(self, options: Options, config: SchedulerConfig) -> None:
        self.options = options
        self.metrics = Metrics()
        self.metrics.warned(config.warnings)
        self.sharing = SharingMetrics(self.metrics.registry)
        knowledge = Knowledge(
            in_flight=lambda pool: self.picker.pools.restate(pool),
            everything=lambda pool: self.picker.pools.everything(pool),
        )
        self.journal = journals.opened(options.link, options.replica, self.sharing, knowledge)
        gate = TimedGate(ConfiguredGate(config, self.metrics.queues), clock.monotonic, self.metrics.queues)
        self.recorder = recorder_of(options.recording, self.metrics)
        served = self.metrics if self.recorder is None else self.recorder.served
        self.biller = Biller(options.billing, served, self.metrics.registry, clock.wall)
        self.biller.open(options.counting_redis, options.redis_password)
        self.picker = Picker(
            self._recorded(config),
            random=Random(),
            replica=options.replica,
            observer=self.biller.billed,
            journal=self.journal,
            default_pool=options.default_pool,
            explains=options.explains,
            gate=gate,
            shell=self,
        )
        self.follower: Follower | None = None
        if self.journal is not None:
            self.follower = Follower(
                self.journal, self._apply, lambda: self.picker.pools.states, self.sharing, (FLEET, EARLIER)
            )
        describe(self.picker, self.metrics)
        fleet = None if self.journal is None else fleet_of(self.picker, self.journal)
        self.scraper = Scraper(self.picker, self.metrics, clock.monotonic, scrape_source(config), Random(), fleet)
        self.quota_metrics = QuotaMetrics(self.metrics.registry)
        self.shared_counters = shared_counters(options, self.quota_metrics)
        self.quotas = Quotas(self.shared_counters or MemoryCounters(), self.quota_metrics)
        self.rate_limits = rate_limits_of(self.quotas, options.quota_token)
        self.discovery = Discovery(self._replace_pools, options.priority_order, replace_quotas=self.quotas.replace)
        self.log_receiver = log_receiver_of(self.picker, self.metrics)
        self.log_sight = LogSight(options.replica, lambda: self.log_receiver.is_attached)
        self.keyed_models = KeyedModels(self.picker, self.scraper, clock.monotonic)
        self.timed_picker = TimedPicker(self.keyed_models, clock.monotonic, self.metrics)
        self.guarded: RequestPicker = self.timed_picker
        if options.guard is not None:
            self.guarded = GuardedPicker(self.timed_picker, options.guard, self.metrics)
        self.streams = OpenStreams(self.picker, lambda: self.log_sight.is_logged(clock.monotonic()))
        self.provider = tracer_provider() if options.traces else None
        picks = Picks(
            self.traced(sees_end=True), self.streams, clock.monotonic, options.honours_subset, config.reports_served
        )
        self.router: Router | None = None
        if options.router is None:
            self.processor = external_processor(picks, self.metrics)
        else:
            kept = KeptBodies(options.replica)
            self.router = self._router(options.router, kept)
            self.processor = fused_processor(picks, self.router, kept, self.metrics)

    def traced(self, *, sees_end: bool) -> RequestPicker:
        """The picker for a transport; without `--tracing` nothing stands between them."""
        if self.provider is None:
            return self.guarded
        from epp.telemetry.tracing import TracedPicker

        return TracedPicker(self.guarded, self.provider, sees_end=sees_end)

    def jobs(self, source: ConfigSource, objects: Source | None) -> Iterator[Coroutine[Any, Any, None]]:
        """What runs beside the transports."""
        yield self.discovery.follow(objects)
        yield self.scraper.run()
        yield self.keyed_models.run()
        yield source.follow(self._reconfigure)
        yield pass_time(self.picker, self.streams, clock.monotonic)
        yield name_labels(self.picker, self.metrics)
        if self.follower is not None:
            yield self.follower.run()
            yield beat(self.picker, clock.monotonic)
        if self.shared_counters is not None:
            yield self.shared_counters.run()
        if self.router is not None:
            yield from self.router.jobs()
        yield self.biller.run()
        if self.recorder is not None:
            yield self.recorder.run()

    def _router(self, choice: Choice, kept: KeptBodies) -> Router:
        metrics = RouterMetrics(metadata.version("pointsman-epp"))
        self.metrics.registry.add(metrics.registry)

        def keep(body: bytes, document: Mapping[str, object] | None) -> str:
            return kept.keep(body, document, clock.monotonic())

        known = Known(lambda: self.discovery.base_models, lambda: self.discovery.tenants)
        return Router(choice, metrics, known, keep, conversation_tracer(self.provider))

    def is_warm(self) -> bool:
        """Whether it knows what other replicas know, as far as that can be had."""
        return self.follower is None or self.follower.is_warm

    # What the picker's queues need of the process.

    def resume(self) -> None:
        """In the next round of the loop: what else lives on it comes in between."""
        asyncio.get_running_loop().call_soon(lambda: self.picker.resume(clock.monotonic()))

    def begins_to_wait(self, pool: PoolId) -> None:
        """Scrape its endpoints now."""
        self.scraper.hasten(pool)

    def can_end(self, pick_id: PickId) -> bool:
        """Over ext_proc, whose streams stay open. Over HTTP nothing is open once the pick is made."""
        return pick_id in self.streams.picks

    def end(self, pick_id: PickId, rejection: Rejection, now: float) -> None:
        """Cut the answer."""
        self.streams.end(pick_id, rejection, now)

    def _recorded(self, config: SchedulerConfig) -> SchedulerConfig:
        """A recording has the blocks of prompts, whether or not a plugin looks at them."""
        return config if self.recorder is None else replace(config, uses_prefix=True)

    def _apply(self, events: Sequence[SharedEvent]) -> None:
        now = clock.monotonic()
        for event in events:
            if isinstance(event, ScrapeTaken | ModelsShared):
                self.scraper.learn(event)
                continue
            self.log_sight.shared(event, now)
            self.picker.apply(event, now)
        self.picker.resume(now)

    def _replace_pools(self, pools: Pools) -> None:
        self.picker.replace_pools(pools, clock.monotonic())
        self.scraper.replace_pools(pools)

    def _reconfigure(self, config: SchedulerConfig) -> None:
        self.metrics.warned(config.warnings)
        self.picker.reconfigure(self._recorded(config), clock.monotonic())
        self.scraper.reconfigure(scrape_source(config))


def recorder_of(recording: Recording | None, metrics: Metrics) -> Recorder | None:
    """What writes the recording, where one is wanted."""
    if recording is None:
        return None
    return Recorder(recording, metrics, metrics.registry, clock.wall() - clock.monotonic())


def describe(picker: Picker, metrics: Metrics) -> None:
    """Show what the picker knows, as figures that are computed when they are read."""
    metrics.queues.describe(lambda: picker.queues(clock.monotonic()))
    metrics.describe_pools(lambda: picker.pools.describe(clock.monotonic()))
    metrics.registry.add(CacheMetrics(picker.decisions.caching.totals))
    metrics.registry.add(AdapterMetrics(picker.pools.adapter_requests))
    metrics.describe_running(picker.running)


def rate_limits_of(quotas: Quotas, token: str | None) -> RateLimits:
    """The rate limit service of the quotas."""
    gate = QuotaGate(quotas)
    return RateLimits(
        ratelimit.Codec(), lambda descriptors, decided: gate.decide(descriptors, clock.wall(), decided), token
    )


def log_receiver_of(picker: Picker, metrics: Metrics) -> AccessLogReceiver:
    """The receiver of Envoy's access log."""
    intake = FeedbackIntake(picker, metrics)
    return AccessLogReceiver(
        accesslog.Codec(METADATA, TAGS), lambda entries: intake.receive(entries, clock.monotonic())
    )


async def serve_until(stopping: asyncio.Event, options: Options) -> None:
    """Build, serve, drain."""
    source = ConfigSource(options.config_file, options.config_text, options.scrape_flags)
    stack = Stack(options, source.load())
    picker, metrics = stack.picker, stack.metrics
    opened = asyncio.Event()

    def is_ready() -> bool:
        return stack.discovery.had_pools and stack.is_warm() and opened.is_set() and not stopping.is_set()

    shared = Shared(
        stack.traced(sees_end=False),  # the answer does not pass the HTTP transport
        clock.monotonic,
        metrics,
        base_models=lambda: stack.discovery.base_models,
        is_ready=is_ready,
    )
    operators = admin.application(
        Generations(metrics.registry, options.metric_names),
        is_ready,
        [
            *debug.routes(picker, clock.monotonic, clock.wall),
            *replicas.routes(picker.pools, stack.follower, stack.sharing, clock.monotonic),
            *Page(picker, clock.monotonic, clock.wall).routes(),
            *usage.routes(stack.biller, clock.wall, lambda: cost_centres(stack.discovery.tenants)),
            *drain.routes(
                picker.draining,
                clock.monotonic,
                asyncio.sleep,
                is_shared=stack.journal is not None,
                is_warm=lambda: stack.discovery.had_pools and stack.is_warm(),
            ),
        ],
        options.listeners.facts,
        options.operators_token,
    )
    async with (
        opening.opened(options.objects, Consumer(options.scope.needs), metrics.registry) as objects,
        lifecycle.background(*stack.jobs(source, objects)),
        admin.serving(
            operators,
            options.listeners.host,
            options.metrics_port,
            options.worker.operators if options.worker is not None else None,
        ),
        open_http(HttpTransport(shared), options),
    ):
        lifecycle.tune_collector()
        services = (stack.processor, stack.log_receiver, stack.rate_limits)
        await serve(stopping, options.listeners, Health(is_ready), services, opened)
    if stack.provider is not None:
        await asyncio.to_thread(stack.provider.shutdown)  # sends what is left


def cost_centres(tenants: Tenants | None) -> Mapping[str, str]:
    """By tenant."""
    return {name: each.cost_centre for name, each in tenants.by_name.items()} if tenants is not None else {}


def tracer_provider() -> "TracerProvider":
    """OpenTelemetry takes a third of a second to import: it is, where it is asked for."""
    from epp.telemetry.tracing import SERVICE
    from gateway.service.tracing import provider_of

    return provider_of(SERVICE)


def open_http(transport: HttpTransport, options: Options) -> AbstractAsyncContextManager[int | None]:
    """The HTTP transport, if a flag opens it."""
    if options.http_port is None and options.http_socket is None:
        return nullcontext()
    return transport.serving(options.http_host, options.http_port, options.http_socket)


def shared_counters(options: Options, metrics: QuotaMetrics) -> "RedisCounters | None":
    """Counters of quotas that the replicas share, when there is a Redis that counts."""
    redis = options.counting_redis
    if redis is None:
        if options.redis is not None:
            log.warning("quotas and the bill are this replica's alone: a Redis Cluster keeps neither")
        return None
    from epp.sharing.quota_counters import RedisCounters  # its client takes long to load

    return RedisCounters(redis, metrics, password=options.redis_password)
