"""Envoys of two Gateways at one control plane: each gets what its own Gateway serves, and nothing of the other."""

import asyncio
import datetime
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from controlplane.deployment import bootstrap
from controlplane.deployment.authority import Authority, is_authorized, new_authority
from controlplane.fleet import fleet
from controlplane.options import Delivery, Deployment, Options
from controlplane.xds.ads.fleet import FleetServer
from gateway.kube.objects import ObjectName
from gateway.kube.sources.files import load
from gateway.rpc.tls import Credentials
from gateway.xds.codec import Codec
from gateway.xds.server import AggregatedDiscovery, serving
from tests.conftest import free_ports

HOST = "127.0.0.1"
SECONDS = 30
NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
MANIFESTS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: pointsman}
spec: {controllerName: pointsman.dev/controlplane}
"""
GATEWAY = """---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %(name)s}
spec: {gatewayClassName: pointsman, listeners: [{name: http, port: %(port)s, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %(name)s}
spec:
  parentRefs: [{name: %(name)s}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: %(name)s.example}}]}]
"""


class Stand:
    """A control plane for the Gateways `a` and `b`."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder, self.binary = folder, binary
        self.xds, *self.ports = free_ports(3)
        self.authority = Authority(new_authority(NOW))
        self.deployment = Deployment("", ObjectName("system", "pointsman"), self.xds)
        self.server = FleetServer(Codec())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        texts = (GATEWAY % {"name": name, "port": port} for name, port in zip("ab", self.ports, strict=True))
        manifests = self.folder / "manifests"
        manifests.mkdir()
        (manifests / "all.yaml").write_text(MANIFESTS + "".join(texts))
        options = Options(xds=Delivery.GRPC, by_class=True, bbr=None, listen_address=HOST, deployment=self.deployment)
        made = fleet(load([manifests]).manifests, {}, options, {})
        await self.server.serve({name: each.snapshot for name, each in made.groups.items()})
        credentials = Credentials(
            self.authority.server("pointsman.system.svc", NOW), authorities=self.authority.certificate
        )
        discovery = AggregatedDiscovery(self.server.open, Codec(), is_authorized)
        async with serving(discovery, f"{HOST}:{self.xds}", credentials):
            yield

    @contextmanager
    def envoy(self, node: str, gateway: str, certified: str) -> Iterator[Path]:
        """An Envoy as it is deployed, with the certificate of a Gateway's; its log."""
        folder = self.folder / node
        folder.mkdir()
        shown = self.authority.client(f"default/{certified}", NOW)
        files = {
            **bootstrap.files(self.deployment),
            "ca.crt": self.authority.certificate.decode(),
            "tls.crt": shown.certificate.decode(),
            "tls.key": shown.key.decode(),
        }
        (admin,) = free_ports(1)
        for name, text in files.items():
            placed = text.replace(bootstrap.CERTIFICATES, str(folder)).replace(bootstrap.FILES, str(folder))
            placed = placed.replace('"address": "pointsman.system.svc"', f'"address": "{HOST}"')
            (folder / name).write_text(
                placed.replace(str(bootstrap.ADMIN_PORT), str(admin)) if name != "ca.crt" else text
            )
        command = [str(self.binary), "-c", str(folder / "bootstrap.json"), "--service-node", node]
        more = ["--service-cluster", f"default/{gateway}", "--disable-hot-restart", "--concurrency", "1"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*command, *more, "--log-level", "warning"], stdout=log, stderr=log)
        try:
            yield folder / "log"
        finally:
            process.terminate()
            process.wait(10)


async def location(session: aiohttp.ClientSession, port: int) -> str | None:
    try:
        async with session.get(f"http://{HOST}:{port}/", allow_redirects=False) as answer:
            return answer.headers.get("location")
    except aiohttp.ClientError:
        return None


async def test_each_envoy_serves_its_own_gateway_and_a_strangers_certificate_gets_nothing(
    envoy_binary: Path, tmp_path: Path
) -> None:
    stand = Stand(tmp_path, envoy_binary)
    async with stand.serving(), aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
        with (
            stand.envoy("stranger", gateway="b", certified="a") as log,
            stand.envoy("envoy-a", gateway="a", certified="a"),
        ):
            async for uptakes in stand.server.uptakes():
                if uptakes["default/a"].is_taken:
                    break
            while "the certificate is not for this cluster" not in log.read_text():
                await asyncio.sleep(0.1)
            found = [await location(session, port) for port in stand.ports]
            assert found == ["http://a.example/", None]
            assert uptakes["default/b"].taken == uptakes["default/b"].waiting == ()
            with stand.envoy("envoy-b", gateway="b", certified="b"):
                async for uptakes in stand.server.uptakes():
                    if uptakes["default/b"].is_taken:
                        break
                assert [await location(session, port) for port in stand.ports] == [
                    "http://a.example/",
                    "http://b.example/",
                ]
                assert uptakes["default/a"].taken == ("envoy-a",)
                assert uptakes["default/b"].taken == ("envoy-b",)
