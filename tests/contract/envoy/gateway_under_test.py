"""A real Envoy on configuration that the control plane rendered and published, with manifests that a test can edit."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from controlplane.options import Options
from controlplane.render import render
from controlplane.xds.files import FolderServer
from gateway.kube.sources.files import load

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
    server: FolderServer
    process: subprocess.Popen[bytes] | None = None
    files: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of host names

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def apply(self, **files: str) -> None:
        """Write manifests, render, publish."""
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
    envoy: Path, root: Path, folder: Path, ports: tuple[int, int], options: Options, **files: str
) -> AsyncIterator[Gateway]:
    """Envoy with the project's own bootstrap; ends by SIGTERM, and the test fails if it ended before."""
    port, admin = ports
    xds = folder / "xds"
    options = replace(options, xds_dir=str(xds), listen_address=HOST, port_map={80: port})
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        gateway = Gateway(folder, port, admin, options, session, FolderServer(xds))
        await gateway.apply(**files)
        overlay = {
            "admin": {"address": {"socket_address": {"address": HOST, "port_value": admin}}},
            "dynamic_resources": {
                "lds_config": {"path_config_source": {"path": str(xds / "lds.json")}},
                "cds_config": {"path_config_source": {"path": str(xds / "cds.json")}},
            },
        }
        arguments = [str(envoy), "-c", str(root / "envoy" / "bootstrap.yaml"), "--config-yaml", json.dumps(overlay)]
        with (folder / "envoy.log").open("wb") as log:
            gateway.process = subprocess.Popen(
                [*arguments, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"],
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
