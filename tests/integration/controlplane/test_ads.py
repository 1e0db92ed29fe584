"""ADS as several proxies see it: real streams, without Envoy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from controlplane.status.uptake import Uptake
from controlplane.xds.ads.server import AdsServer
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Snapshot, snapshot_of
from gateway import protos
from gateway.xds.codec import Codec
from gateway.xds.server import ADS_SERVICE, AddressError, AggregatedDiscovery, serving
from tests.certificates import self_signed

HOST = "127.0.0.1"
_POOL = protos.load_pool()
REQUEST = protos.message_class(_POOL, "envoy.service.discovery.v3.DiscoveryRequest")
RESPONSE = protos.message_class(_POOL, "envoy.service.discovery.v3.DiscoveryResponse")


def snapshot(*clusters: str) -> Snapshot:
    return snapshot_of({
        names.CLUSTER_TYPE: [{"@type": names.CLUSTER_TYPE, "name": name} for name in clusters],
        names.LISTENER_TYPE: [],
        names.ROUTES_TYPE: [],
    })  # fmt: skip


class Proxy:
    """One stream in the state-of-the-world dialect."""

    def __init__(self, channel: grpc.aio.Channel, node: str) -> None:
        method = channel.stream_stream(f"/{ADS_SERVICE}/StreamAggregatedResources")
        self._call = method()
        self._node = node
        self._names: dict[str, tuple[str, ...]] = {}

    async def say(
        self, kind: str = names.CLUSTER_TYPE, nonce: str = "", error: str = "", names: tuple[str, ...] = ()
    ) -> None:
        self._names[kind] = names
        detail = {"error_detail": {"message": error}} if error else {}
        request = REQUEST(node={"id": self._node}, type_url=kind, response_nonce=nonce, resource_names=names, **detail)
        await self._call.write(request.SerializeToString())

    async def hear(self) -> Any:
        async with asyncio.timeout(10):
            return RESPONSE.FromString(await self._call.read())

    async def take(self) -> Any:
        response = await self.hear()
        await self.say(response.type_url, response.nonce, names=self._names.get(response.type_url, ()))
        return response

    async def start(self) -> None:
        """Ask for clusters and listeners, and take both."""
        await self.say(names.CLUSTER_TYPE)
        await self.say(names.LISTENER_TYPE)
        await self.take()
        await self.take()

    def leave(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[AdsServer, grpc.aio.Channel]]:
    codec = Codec()
    server = AdsServer(codec)
    async with (
        serving(AggregatedDiscovery(server.open, codec), f"{HOST}:0") as port,
        grpc.aio.insecure_channel(f"{HOST}:{port}") as channel,
    ):
        yield server, channel


async def until(server: AdsServer, **expected: object) -> Uptake:
    async with asyncio.timeout(10):
        async for uptake in server.uptakes():
            if all(getattr(uptake, name) == value for name, value in expected.items()):
                return uptake
    raise AssertionError("no more news")


async def test_each_proxy_is_known_by_its_node_and_goes_at_its_own_pace() -> None:
    async with served() as (server, channel):
        await server.serve(snapshot("a"))
        quick, slow = Proxy(channel, "quick"), Proxy(channel, "slow")
        await quick.start()
        await slow.say()
        await slow.hear()
        await until(server, taken=("quick",), waiting=("slow",))

        assert await server.serve(snapshot("a", "b")) == ("cds/b",)
        assert [len(found.resources) for found in [await quick.take()]] == [2]
        await until(server, taken=("quick",), waiting=("slow",))
        slow.leave()
        assert (await until(server, taken=("quick",), waiting=())).is_taken


async def test_a_refusal_names_the_proxy_and_its_reason_until_another_snapshot_is_taken() -> None:
    async with served() as (server, channel):
        await server.serve(snapshot("a"))
        proxy = Proxy(channel, "node")
        await proxy.start()
        await until(server, taken=("node",))
        await server.serve(snapshot("b"))
        response = await proxy.hear()
        await proxy.say(nonce=response.nonce, error="no such thing")
        uptake = await until(server, taken=(), waiting=())
        await server.serve(snapshot("c"))
        await proxy.take()
        good = await until(server, taken=("node",))

    assert [(found.node, found.message) for found in uptake.refusals] == [("node", "Cluster: no such thing")]
    assert good.is_taken


async def test_a_message_that_is_none_ends_its_stream_and_no_other() -> None:
    async with served() as (server, channel):
        await server.serve(snapshot("a"))
        good = Proxy(channel, "good")
        await good.start()
        bad = channel.stream_stream(f"/{ADS_SERVICE}/DeltaAggregatedResources")()
        await bad.write(b"\xff\xff")
        assert await bad.read() is grpc.aio.EOF
        await server.serve(snapshot("b"))
        assert (await good.take()).resources


async def test_only_a_proxy_with_a_certificate_of_the_authority_is_served(tmp_path: Path) -> None:
    chain, key = (file.read_bytes() for file in self_signed(tmp_path, "localhost"))
    for name, content in (("tls.crt", chain), ("tls.key", key), ("ca.crt", chain)):
        (tmp_path / name).write_bytes(content)
    codec = Codec()
    server = AdsServer(codec)
    await server.serve(snapshot("a"))
    found = []
    async with serving(AggregatedDiscovery(server.open, codec), "localhost:0", tmp_path) as port:
        for own in ((key, chain), (None, None)):
            credentials = grpc.ssl_channel_credentials(chain, *own)
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                proxy = Proxy(channel, "node")
                try:
                    await proxy.say()
                    found.append(len((await proxy.hear()).resources))
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    found.append(-1)

    assert found == [1, -1]


async def test_an_address_that_is_taken_is_one_clear_error(unused_tcp_port: int) -> None:
    codec = Codec()
    discovery = AggregatedDiscovery(AdsServer(codec).open, codec)
    async with serving(discovery, f"{HOST}:{unused_tcp_port}"):
        with pytest.raises(AddressError, match=str(unused_tcp_port)):
            async with serving(discovery, f"{HOST}:{unused_tcp_port}"):
                pass
