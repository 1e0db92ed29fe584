"""The body-based router's composition root: the only module that constructs everything."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Final

from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Conversation, Push
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.exchange import PROTOCOL_MODES
from gateway.extproc.protocol.messages import BodyMode, Modes
from gateway.extproc.service import Listeners, serve
from gateway.kube.objects import Manifests
from gateway.kube.resolution.base_models import BaseModels, base_models
from gateway.kube.resolution.tenants import tenants
from gateway.kube.sources import opening
from gateway.kube.sources.cluster.resources import CONFIG_MAP, Selection
from gateway.kube.sources.cluster.source import Consumer
from gateway.kube.sources.source import Source
from gateway.router.metrics import Metrics
from gateway.router.routers import Choice, Known, Router, conversation_tracer
from gateway.rpc.health import Health
from gateway.schema.problems import Problem
from gateway.service import admin, clock, lifecycle, logs
from gateway.service.worker import Worker
from gateway.tenancy.tenants import Tenants
from gateway.wire.protocol import BBR_MANAGED_LABEL, TENANTS_LABEL

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logs.get(__name__)

SERVICE: Final = "gateway-api-inference-extension/bbr"  # the reference's name, unless OTEL_SERVICE_NAME gives another


@dataclass(frozen=True, slots=True)
class Options:
    listeners: Listeners
    metrics_port: int
    objects: opening.Origin | None = None
    namespace: str | None = None
    # What a proxy that does not describe its body mode is taken to use.
    is_streaming: bool = False
    choice: Choice = field(default_factory=Choice)
    worker: Worker | None = None  # of several on this host
    traces: bool = False

    @property
    def modes(self) -> Modes:
        return PROTOCOL_MODES if self.is_streaming else Modes(BodyMode.BUFFERED, BodyMode.BUFFERED)

    def needs(self, _known: Manifests) -> tuple[Selection, ...]:
        """What is followed of a cluster."""
        labels = (BBR_MANAGED_LABEL, TENANTS_LABEL)
        return tuple(Selection(CONFIG_MAP, self.namespace or "", labels=((label, "true"),)) for label in labels)


class Mapped:
    """What objects say: the base models of names, and tenants; replaced whole by `follow`. Both are None until the
    manifests were read once: nobody is let in as if there were no tenants."""

    def __init__(self) -> None:
        self.current: BaseModels | None = None
        self.tenants: Tenants | None = None

    def names(self) -> Mapping[str, str]:
        return self.current.names if self.current is not None else {}

    async def follow(self, source: Source | None, namespace: str | None) -> None:
        """Take over every good change of the manifests; without a source nothing is mapped."""
        if source is None:
            self.current, self.tenants = BaseModels(), Tenants()
            return
        reported: tuple[Problem, ...] = ()
        async for snapshot in source.snapshots():
            if snapshot.problems != reported:
                report(snapshot.problems)
            reported = snapshot.problems
            if not snapshot.is_usable:
                continue
            found = base_models(snapshot.manifests, namespace)
            if found != self.current:
                for conflict in found.conflicts:
                    log.warning("two ConfigMaps claim a model; the first has it", place=str(conflict))
                log.info("model names mapped", names=len(found.names))
            self.current = found
            named = tenants(snapshot.manifests, namespace)
            if named != self.tenants:
                log.info("tenants read", tenants=len(named.by_name), isolation=named.isolation.value)
            self.tenants = named


def report(problems: tuple[Problem, ...]) -> None:
    """One line for each."""
    for problem in problems:
        log.error("a manifest is wrong; its object stays as it was", place=str(problem))


async def serve_until(stopping: asyncio.Event, options: Options) -> None:
    """Build, serve, drain."""
    metrics, mapped = Metrics(metadata.version("pointsman-bbr")), Mapped()
    provider = tracer_provider() if options.traces else None
    known = Known(mapped.names, lambda: mapped.tenants)
    router = Router(options.choice, metrics, known, tracer=conversation_tracer(provider))

    def conversation(_metadata: Mapping[str, str], push: Push) -> Conversation:
        return router.conversation(options.modes, push)

    processor = ExternalProcessor(conversation, Codec(), clock.monotonic, metrics)

    opened = asyncio.Event()

    def is_ready() -> bool:
        return mapped.current is not None and opened.is_set() and not stopping.is_set()

    operators = admin.application(metrics.registry, is_ready, facts=options.listeners.facts)
    async with (
        opening.opened(options.objects, Consumer(options.needs), metrics.registry) as source,
        lifecycle.background(mapped.follow(source, options.namespace), *router.jobs()),
        admin.serving(
            operators,
            options.listeners.host,
            options.metrics_port,
            options.worker.operators if options.worker is not None else None,
        ),
    ):
        lifecycle.tune_collector()
        await serve(stopping, options.listeners, Health(is_ready), [processor], opened)
    if provider is not None:
        await asyncio.to_thread(provider.shutdown)  # sends what is left


def tracer_provider() -> "TracerProvider":
    """OpenTelemetry takes a third of a second to import: it is, where it is asked for."""
    from gateway.service.tracing import provider_of

    return provider_of(SERVICE)
