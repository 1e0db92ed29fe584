"""The body-based router's composition root: the only module that constructs everything."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bbr.embedding import Embedder, Endpoint
from bbr.exchange import RouterConversation, Routing
from bbr.metrics import Metrics
from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Push
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.exchange import PROTOCOL_MODES
from gateway.extproc.protocol.messages import BodyMode, Modes
from gateway.extproc.service import Listeners, serve
from gateway.kube.resolution.base_models import BaseModels, base_models
from gateway.kube.sources.folders import FolderSource
from gateway.kube.sources.source import Source
from gateway.routing.catalogue import default_plugins
from gateway.routing.chain import Chain
from gateway.routing.classes import Classes
from gateway.routing.plugin import Named
from gateway.rpc.health import Health
from gateway.schema.problems import Problem
from gateway.service import admin, clock, lifecycle, logs

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    listeners: Listeners
    metrics_port: int
    config_dirs: tuple[Path, ...]
    namespace: str | None = None
    # What a proxy that does not describe its body mode is taken to use.
    is_streaming: bool = False
    plugins: tuple[Named, ...] = field(default_factory=default_plugins)
    embedder: Endpoint | None = None

    @property
    def modes(self) -> Modes:
        return PROTOCOL_MODES if self.is_streaming else Modes(BodyMode.BUFFERED, BodyMode.BUFFERED)


class Mapped:
    """The current mapping; replaced whole by `follow`, None until the manifests were read once."""

    def __init__(self) -> None:
        self.current: BaseModels | None = None

    def names(self) -> Mapping[str, str]:
        return self.current.names if self.current is not None else {}

    async def follow(self, source: Source | None, namespace: str | None) -> None:
        """Take over every good change of the manifests; without a source nothing is mapped."""
        if source is None:
            self.current = BaseModels()
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


def report(problems: tuple[Problem, ...]) -> None:
    """One line for each."""
    for problem in problems:
        log.error("a manifest is wrong; its object stays as it was", place=str(problem))


def compared_texts(plugins: Sequence[Named]) -> list[str]:
    """The examples of all classes."""
    return [text for each in plugins if isinstance(each.plugin, Classes) for _, text in each.plugin.examples.texts]


async def serve_until(stopping: asyncio.Event, options: Options) -> None:
    """Build, serve, drain."""
    metrics, mapped = Metrics(), Mapped()
    modes = options.modes
    source = FolderSource(options.config_dirs) if options.config_dirs else None

    chain = Chain(options.plugins, metrics)
    embedder = None
    if options.embedder is not None:
        embedder = Embedder(options.embedder, compared_texts(options.plugins), metrics)

    def routing() -> Routing:
        if embedder is None:
            return Routing(chain, mapped.names())
        return Routing(chain, mapped.names(), embedder.vectors, embedder.ask)

    def conversation(_metadata: Mapping[str, str], push: Push) -> RouterConversation:
        return RouterConversation(routing(), metrics.observe, modes, push)

    processor = ExternalProcessor(conversation, Codec(), clock.monotonic, metrics)

    def is_ready() -> bool:
        return mapped.current is not None and not stopping.is_set()

    operators = admin.application(metrics.registry, is_ready, facts=options.listeners.facts)
    async with (
        lifecycle.background(mapped.follow(source, options.namespace), *([] if embedder is None else [embedder.run()])),
        admin.serving(operators, options.listeners.host, options.metrics_port),
    ):
        lifecycle.tune_collector()
        await serve(stopping, options.listeners, Health(is_ready), [processor])
