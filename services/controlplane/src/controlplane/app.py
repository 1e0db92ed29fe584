"""The control plane's composition root: where objects come from, how Envoy gets its configuration, operators' port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from controlplane.document import document, tree
from controlplane.metrics import Metrics
from controlplane.options import Options
from controlplane.ownership import needs
from controlplane.page import Page
from controlplane.page.traffic import Traffic
from controlplane.plane import ControlPlane, Server
from controlplane.status.report import CONTROLLER_NAME
from controlplane.xds.admin import EnvoyAdmin
from controlplane.xds.ads.server import AdsServer
from controlplane.xds.files import FolderServer
from gateway.kube.sources import opening
from gateway.kube.sources.cluster.source import Consumer
from gateway.service import admin, clock, lifecycle, logs
from gateway.xds import server as xds
from gateway.xds.codec import Codec

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Files:
    """Envoy reads files in this folder, and can be asked at this address what it made of them."""

    output_dir: Path
    admin: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Grpc:
    """Envoy asks at this address; with certificates by mutual TLS."""

    host: str
    port: int
    certificates: Path | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """Where objects come from, how Envoy is served, and the operators' port."""

    objects: opening.Origin
    delivery: Files | Grpc
    host: str
    http_port: int
    options: Options = field(default_factory=Options)
    operators_token: str | None = field(default=None, repr=False)
    picker_pages: tuple[str, ...] = ()  # for links


async def serve_until(stopping: asyncio.Event, serving: Serving) -> None:
    """Build, follow and serve until `stopping` is set. Envoy keeps what was published."""
    metrics, options, envoy = Metrics(), serving.options, _administered(serving.delivery)
    consumer = Consumer(needs, options.services, CONTROLLER_NAME)
    async with (
        opening.opened(serving.objects, consumer, metrics.registry) as source,
        _delivering(serving.delivery, envoy) as server,
    ):
        assert source is not None  # an origin was given
        plane = ControlPlane(source, server, metrics, options, clock.stamp)

        async def show(_request: web.Request) -> web.Response:
            return web.Response(text=document(tree(plane.view)), content_type="application/json")

        page = Page(lambda: plane.ports, Traffic(envoy, clock.monotonic), serving.picker_pages)
        operators = admin.application(
            metrics.registry,
            lambda: plane.view.published,
            [web.get("/status", show), *page.routes()],
            token=serving.operators_token,
        )
        async with (
            admin.serving(operators, serving.host, serving.http_port) as port,
            lifecycle.background(plane.follow(), plane.watch(), plane.report()),
        ):
            log.info("serving", port=port)
            lifecycle.tune_collector()
            await stopping.wait()


def _administered(delivery: Files | Grpc) -> EnvoyAdmin | None:
    """The administration port of the only Envoy, where it is known."""
    return EnvoyAdmin(*delivery.admin) if isinstance(delivery, Files) and delivery.admin else None


@asynccontextmanager
async def _delivering(delivery: Files | Grpc, envoy: EnvoyAdmin | None) -> AsyncIterator[Server]:
    if isinstance(delivery, Files):
        yield FolderServer(delivery.output_dir, admin=envoy)
        return
    codec = Codec()
    server = AdsServer(codec)
    discovery = xds.AggregatedDiscovery(server.open, codec)
    address = f"[{delivery.host}]:{delivery.port}" if ":" in delivery.host else f"{delivery.host}:{delivery.port}"
    async with xds.serving(discovery, address, delivery.certificates) as port:
        log.info("serving ADS", port=port)
        yield server
