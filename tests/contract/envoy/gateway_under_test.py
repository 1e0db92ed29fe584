"""A real Envoy on configuration that the control plane rendered and published, with manifests that a test can edit."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from controlplane.options import Delivery, Options
from controlplane.plane import OneServer
from controlplane.render import render
from controlplane.status.uptake import Uptake
from controlplane.xds.admin import EnvoyAdmin
from controlplane.xds.ads.server import AdsServer
from controlplane.xds.files import FolderServer
from gateway.kube.sources.files import load
from gateway.xds.codec import Codec
from gateway.xds.messages import Dialect
from gateway.xds.server import AggregatedDiscovery, serving
from processes.plan import QUIET
from tests.conftest import free_ports

HOST = "127.0.0.1"
START_SECONDS = 20.0


def slice_of(name: str, port: int, labels: Mapping[str, str], index: int = 0) -> str:
    """An EndpointSlice with one local endpoint."""
    shown = "".join(f"    {key}: {value}\n" for key, value in labels.items())
    return (
        f"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-{index}\n"
        f"  labels:\n{shown}addressType: IPv4\nendpoints:\n- addresses: ['{HOST}']\n"
        f"ports:\n- {{name: http, port: {port}}}\n"
    )


def pool(name: str, failure_mode: str = "FailOpen", picker: str = "epp", notes: str = "") -> str:
    return (
        f"---\napiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata:\n"
        f"  name: {name}\n  annotations: {{{notes}}}\nspec:\n"
        f"  selector: {{matchLabels: {{app: {name}}}}}\n  targetPorts: [{{number: 8000}}]\n"
        f"  endpointPickerRef: {{name: {picker}, port: {{number: 9002}}, failureMode: {failure_mode}}}\n"
    )


GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: pointsman
  listeners: [{name: http, port: 80, protocol: HTTP}]
"""


@dataclass
class Gateway:
    """One Envoy and its manifests, the files `manifests/<name>.yaml`."""

    folder: Path
    port: int
    admin: int
    options: Options
    session: aiohttp.ClientSession
    server: OneServer
    break_streams: Callable[[], Awaitable[None]]
    process: subprocess.Popen[bytes] | None = None
    files: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of host names

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def apply(self, **files: str) -> Uptake:
        """Write manifests, render, publish; what Envoy made of it, once it runs."""
        self.files.update(files)
        manifests = self.folder / "manifests"
        manifests.mkdir(exist_ok=True)
        for name, text in self.files.items():
            (manifests / f"{name}.yaml").write_text(text)
        loaded = load([manifests])
        assert not loaded.problems, loaded.problems
        rendered = render(loaded.manifests, self.addresses, self.options)
        assert rendered.faults == ()
        await self.server.serve(rendered.snapshot)
        return await self.answered(rendered.snapshot.version) if self.process is not None else Uptake()

    async def answered(self, version: str) -> Uptake:
        """What Envoy made of a snapshot, as far as it says so."""
        async with asyncio.timeout(START_SECONDS):
            async for uptake in self.server.uptakes():
                if uptake.version == version and (uptake.is_taken or uptake.refusals):
                    return uptake
        raise AssertionError("the server says nothing any more")

    async def stats(self, pattern: str) -> dict[str, int]:
        async with self.session.get(f"http://{HOST}:{self.admin}/stats?format=json&filter={pattern}") as answer:
            found = json.loads(await answer.text())["stats"]
        return {item["name"]: item["value"] for item in found if "name" in item}

    async def until(self, name: str, at_least: int) -> None:
        """Wait for a figure of Envoy's."""
        async with asyncio.timeout(START_SECONDS):
            while (await self.stats(f"^{name}$")).get(name, 0) < at_least:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(
    envoy: Path,
    root: Path,
    folder: Path,
    ports: tuple[int, int],
    options: Options,
    dialect: Dialect = Dialect.DELTA,
    **files: str,
) -> AsyncIterator[Gateway]:
    """Envoy with the project's own bootstrap; ends by SIGTERM, and the test fails if it ended before."""
    port, admin = ports
    options = replace(options, xds_dir=str(folder / "xds"), listen_address=HOST, port_map={80: port})
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        _delivering(root, folder, options, admin, dialect) as (server, break_streams, bootstrap, overlay),
    ):
        gateway = Gateway(folder, port, admin, options, session, server, break_streams)
        await gateway.apply(**files)
        overlay = {"admin": {"address": {"socket_address": {"address": HOST, "port_value": admin}}}, **overlay}
        arguments = [str(envoy), "-c", str(bootstrap), "--config-yaml", json.dumps(overlay)]
        with (folder / "envoy.log").open("wb") as log:
            gateway.process = subprocess.Popen(
                [*arguments, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", *QUIET],
                stdout=log,
                stderr=log,
            )
        try:
            await _ready(gateway)
            yield gateway
            assert gateway.process.poll() is None, (folder / "envoy.log").read_text()[-2000:]
        finally:
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.wait(10)


@asynccontextmanager
async def _delivering(
    root: Path, folder: Path, options: Options, admin: int, dialect: Dialect
) -> AsyncIterator[tuple[OneServer, Callable[[], Awaitable[None]], Path, dict[str, object]]]:
    """A server by files or by gRPC, what ends its streams, and the bootstrap with which Envoy finds it."""
    if options.xds is Delivery.FILES:
        paths = {f"{name}_config": {"path_config_source": {"path": str(folder / "xds" / f"{name}.json")}}
                 for name in ("lds", "cds")}  # fmt: skip
        yield (
            FolderServer(folder / "xds", admin=EnvoyAdmin(HOST, admin)),
            _nothing,
            root / "envoy" / "bootstrap.yaml",
            {"dynamic_resources": paths},
        )
        return
    (port,) = free_ports(1)
    codec = Codec()
    server = AdsServer(codec)
    bootstrap = folder / "bootstrap-grpc.yaml"
    text = (root / "envoy" / "bootstrap-grpc.yaml").read_text().replace("18000", str(port))
    bootstrap.write_text(text if dialect is Dialect.DELTA else text.replace("DELTA_GRPC", "GRPC"))
    discovery = AggregatedDiscovery(server.open, codec)
    async with AsyncExitStack() as stack:

        async def serve_anew() -> None:
            await stack.aclose()
            await stack.enter_async_context(serving(discovery, f"{HOST}:{port}"))

        await serve_anew()
        yield server, serve_anew, bootstrap, {}


async def _nothing() -> None:
    """Files have no stream that could break."""


async def _ready(gateway: Gateway) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with gateway.session.get(f"http://{HOST}:{gateway.admin}/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                assert gateway.process is not None
                assert gateway.process.poll() is None, (gateway.folder / "envoy.log").read_text()[-2000:]
            await asyncio.sleep(0.05)
