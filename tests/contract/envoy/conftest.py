"""A gateway with two pools, one picker and two model servers, fresh for each test."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from controlplane.options import Delivery, Options, PickerTransport
from gateway.rpc.server import Transport
from gateway.tenancy.identity import Access
from gateway.xds.messages import Dialect
from tests.conftest import free_ports
from tests.contract.envoy.fakes import HOST, OPEN, ModelServer, Orders, PickerProcess, router, start_picker
from tests.contract.envoy.gateway_under_test import GATEWAY, Gateway, pool, running, slice_of

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /v1}, headers: [{name: X-Gateway-Model-Name, value: open}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]
  - matches: [{path: {value: /v1}, headers: [{name: X-Gateway-Model-Name, value: closed}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: closed}]
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def server(self) -> object:
        return self.json["server"]

    @property
    def error(self) -> dict[str, object]:
        found = self.json["error"]
        assert isinstance(found, dict)
        assert set(found) == {"message", "type", "param", "code"}
        assert self.headers["content-type"] == "application/json"
        return found


@dataclass
class Bed:
    """Everything that a test may turn. `dead` is a port where nobody listens, in both pools."""

    gateway: Gateway
    one: ModelServer
    two: ModelServer
    picker: PickerProcess
    dead: int
    transport: PickerTransport

    @property
    def orders(self) -> Orders:
        return self.picker.orders

    def pick(self, *targets: "ModelServer | int") -> None:
        ports = (target if isinstance(target, int) else target.port for target in targets)
        self.orders.endpoints = [f"{HOST}:{port}" for port in ports]

    async def ask(
        self,
        model: str | None = "open",
        path: str = "/v1/chat/completions",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        size: int = 1,
    ) -> Answer:
        if body is None and method == "POST":
            body = json.dumps({"prompt": "x" * size} | ({"model": model} if model else {})).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        data = io.BytesIO(body) if body is not None else None
        async with self.gateway.session.request(method, self.gateway.url + path, data=data, headers=sent) as answer:
            seen = {key.lower(): value for key, value in answer.headers.items()}
            return Answer(answer.status, seen, await answer.read())


async def raw(bed: Bed, sent: bytes) -> tuple[int, bytes]:
    """Status and body of what these bytes are answered with, until Envoy closes the connection."""
    reader, writer = await asyncio.open_connection(HOST, bed.gateway.port)
    writer.write(sent)
    async with asyncio.timeout(20):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


MakeBed = Callable[..., AbstractAsyncContextManager[Bed]]


@pytest.fixture(params=[PickerTransport.EXT_PROC, PickerTransport.HTTP], ids=["ext_proc", "http"])
def transport(request: pytest.FixtureRequest) -> PickerTransport:
    """Which door of the picker Envoy asks."""
    assert isinstance(request.param, PickerTransport)
    return request.param


@pytest.fixture(params=[Delivery.FILES, Delivery.GRPC], ids=["files", "ads"])
def delivery(request: pytest.FixtureRequest) -> Delivery:
    """How Envoy gets its configuration."""
    assert isinstance(request.param, Delivery)
    return request.param


@pytest.fixture(params=list(Transport), ids=lambda each: each.value)
def grpc_transport(request: pytest.FixtureRequest) -> Transport:
    """What serves gRPC, to the picker and the router."""
    assert isinstance(request.param, Transport)
    return request.param


# Each door of the picker, each delivery and each transport of gRPC is tried whole, in as few pairs as that takes.
# A module marked `deliveries`, on how configuration changes, is tried with both through each door; one marked `grpcio`,
# where streams to the picker carry bodies, stall or break, on the second transport as well.
WAYS = {
    (PickerTransport.EXT_PROC, Delivery.FILES, Transport.NGHTTP2),
    (PickerTransport.HTTP, Delivery.GRPC, Transport.NGHTTP2),
}
SECOND_TRANSPORT = (PickerTransport.EXT_PROC, Delivery.FILES, Transport.GRPCIO)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the pairs that prove nothing more; a test that names its door or delivery keeps what it names."""
    possible: dict[str, set[tuple[object, ...]]] = {}
    for item in items:
        possible.setdefault(_test_of(item), set()).add(_way(item))
    items[:] = [item for item in items if _is_elsewhere(item) or _way(item) in _chosen(item, possible[_test_of(item)])]


def _is_elsewhere(item: pytest.Item) -> bool:
    is_here = Path(__file__).parent in item.path.parents
    return not is_here and not (isinstance(item, pytest.Function) and "make_bed" in item.fixturenames)


def _test_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _way(item: pytest.Item) -> tuple[object, ...]:
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return tuple(params.get(name) for name in ("transport", "delivery", "grpc_transport"))


def _chosen(item: pytest.Item, possible: set[tuple[object, ...]]) -> set[tuple[object, ...]]:
    first = {way for way in possible if Transport.GRPCIO not in way}
    second = {SECOND_TRANSPORT} if item.get_closest_marker("grpcio") else set()
    if item.get_closest_marker("deliveries"):
        return first | second
    return (first & WAYS or first) | second


@pytest.fixture
def make_bed(
    envoy_binary: Path,
    root: Path,
    tmp_path: Path,
    transport: PickerTransport,
    delivery: Delivery,
    grpc_transport: Transport,
) -> MakeBed:
    @asynccontextmanager
    async def make(
        options: Options | None = None,
        waits_for: str = "epp.*|bbr",
        dialect: Dialect = Dialect.DELTA,
        access: Access = OPEN,
        **files: str,
    ) -> AsyncIterator[Bed]:
        epp, http, bbr, dead, port, admin = free_ports(6)
        options = options or Options()
        picker = await start_picker(epp, http, transport=grpc_transport)
        async with (
            ModelServer("one").serving() as one,
            ModelServer("two").serving() as two,
            router(bbr, {"adapter": "base"}, grpc_transport, access),
        ):
            endpoints = slice_of("epp", epp, {"kubernetes.io/service-name": "epp"})
            for name in ("open", "closed"):
                for index, target in enumerate((one.port, two.port, dead)):
                    endpoints += slice_of(name, target, {"app": name}, index)
            written = {
                "gateway": GATEWAY,
                "route": ROUTE,
                "pools": pool("open") + pool("closed", "FailClose"),
                "endpoints": endpoints,
                **files,
            }
            options = replace(options, bbr=(HOST, bbr), picker=transport, picker_http_port=http, xds=delivery)
            try:
                async with running(envoy_binary, root, tmp_path, (port, admin), options, dialect, **written) as gateway:
                    for figure in await gateway.stats(f"^cluster.({waits_for}).membership_healthy$"):
                        await gateway.until(figure, 1)
                    yield Bed(gateway, one, two, picker, dead, transport)
            finally:
                await picker.stop()

    return make


@pytest.fixture
async def bed(make_bed: MakeBed) -> AsyncIterator[Bed]:
    async with make_bed() as made:
        yield made
