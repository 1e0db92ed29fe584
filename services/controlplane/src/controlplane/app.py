"""The control plane's composition root: where objects come from, how Envoy gets its configuration, operators' port."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from controlplane.deployment import authority
from controlplane.deployment.authority import Authority, AuthorityError
from controlplane.deployment.deployer import Deployer
from controlplane.document import document, tree
from controlplane.metrics import Metrics
from controlplane.options import Deployment, Options
from controlplane.ownership import needs
from controlplane.page import Page
from controlplane.page.traffic import Traffic
from controlplane.plane import ControlPlane, ForEvery, Server
from controlplane.status.report import CONTROLLER_NAME
from controlplane.xds.admin import EnvoyAdmin
from controlplane.xds.ads.fleet import FleetServer
from controlplane.xds.ads.server import AdsServer
from controlplane.xds.files import FolderServer
from gateway.kube.objects import ObjectName
from gateway.kube.resolution.endpoints import service_hostname
from gateway.kube.sources import opening
from gateway.kube.sources.cluster.elector import Election
from gateway.kube.sources.cluster.source import ClusterSource, Consumer
from gateway.kube.sources.source import ObjectStore
from gateway.rpc.tls import Credentials
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
    lease: ObjectName | None = None  # by which the replica is elected that writes


async def serve_until(stopping: asyncio.Event, serving: Serving) -> None:
    """Build, follow and serve until `stopping` is set. Envoy keeps what was published."""
    metrics, options, envoy = Metrics(), serving.options, _administered(serving.delivery)
    consumer = Consumer(needs, options.services, CONTROLLER_NAME, _election(serving.lease))
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(opening.opened(serving.objects, consumer, metrics.registry))
        assert source is not None  # an origin was given
        if options.deployment is None:
            server = await stack.enter_async_context(_delivering(serving.delivery, envoy))
            plane = ControlPlane(source, server, metrics, options, clock.stamp)
        else:
            assert isinstance(serving.delivery, Grpc)  # as the command line was read
            assert isinstance(source, ClusterSource)
            given = await lifecycle.unless(stopping, _authority(source, options.deployment))
            if given is None:
                return
            deployer = Deployer(options.deployment, given, source.keep, clock.now)
            await stack.enter_async_context(lifecycle.background(deployer.run()))
            fleet = await stack.enter_async_context(_fleet(serving.delivery, options.deployment, given))
            plane = ControlPlane(source, fleet, metrics, options, clock.stamp, deploy=deployer.offer)

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
    """To Envoys that are all alike."""
    if isinstance(delivery, Files):
        yield ForEvery(FolderServer(delivery.output_dir, admin=envoy))
        return
    codec = Codec()
    server = AdsServer(codec)
    discovery = xds.AggregatedDiscovery(server.open, codec)
    async with xds.serving(discovery, _address(delivery), delivery.certificates) as port:
        log.info("serving ADS", port=port)
        yield ForEvery(server)


@asynccontextmanager
async def _fleet(delivery: Grpc, deployment: Deployment, given: Authority) -> AsyncIterator[Server]:
    """To the Envoys of each Gateway by themselves, which show by a certificate whose they are."""
    codec = Codec()
    server = FleetServer(codec)
    discovery = xds.AggregatedDiscovery(server.open, codec, authority.is_authorized)
    shown = given.server(service_hostname(*deployment.control_plane), clock.now())
    credentials = Credentials(shown, authorities=given.certificate)
    async with xds.serving(discovery, _address(delivery), credentials) as port:
        log.info("serving ADS", port=port)
        yield server


async def _authority(source: ObjectStore, deployment: Deployment) -> Authority:
    """That of all replicas: whoever comes first makes it. Raises AuthorityError."""
    namespace, service = deployment.control_plane
    name = f"{service}-xds"
    data = await source.shared_secret(namespace, name, lambda: authority.new_authority(clock.now()))
    try:
        return Authority(data)
    except AuthorityError as error:
        raise AuthorityError(f"Secret {namespace}/{name}: {error}") from None


def _address(delivery: Grpc) -> str:
    return f"[{delivery.host}]:{delivery.port}" if ":" in delivery.host else f"{delivery.host}:{delivery.port}"


def _election(lease: ObjectName | None) -> Election | None:
    """This replica's name is its host's, with something that no earlier process of that host had."""
    if lease is None:
        return None
    return Election(lease.namespace, lease.name, f"{socket.gethostname()}_{uuid.uuid4()}")
