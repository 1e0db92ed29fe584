"""What the conformance suite of the Inference Extension asks of traffic, with the picker as a process and over TLS.

The picker is started as the reference is and shows its self-signed certificate; requests are pinned by the suite's
header `test-epp-endpoint-selection`. What the suite asks of conditions is asked of the control plane's own tests.
"""

import asyncio
import math
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from controlplane.options import Options, PickerTransport
from gateway.service import admin
from tests.conftest import free_ports
from tests.contract.envoy.gateway_under_test import GATEWAY, HOST, Gateway, pool, running, slice_of

pytestmark = pytest.mark.envoy

PIN = "test-epp-endpoint-selection"
BODY = {"model": "conformance-fake-model", "prompt": "Write as if you were a critic"}
EPP_CONFIG = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: header-based-testing-filter}, {type: random-picker}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: header-based-testing-filter}, {pluginRef: random-picker}]}]
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: conformance}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - matches: [{path: {value: /primary}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: primary}]
  - matches: [{path: {value: /secondary}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: secondary, port: 8888}]
  - matches: [{path: {value: /weighted}}]
    backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: primary, weight: 70}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: secondary, weight: 30}
  - matches: [{path: {value: /nowhere}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: absent}]
  - matches: [{path: {value: /without-picker}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: unserved}]
  - matches: [{path: {value: /ranks}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: ranks}]
  - matches: [{path: {value: /h2c}}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: h2c}]
"""
SECOND_GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: second}
spec:
  gatewayClassName: pointsman
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: secondary.example.com}]
"""
SECOND_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: second}
spec:
  parentRefs: [{name: second}]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: secondary}]}]
"""
# One address whose target ports are ranks of one model server.
RANKS = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ranks, labels: {app: ranks}}
addressType: IPv4
endpoints: [{addresses: ['127.0.0.1']}]
"""


@dataclass
class Conformance:
    gateway: Gateway
    primary: list[int]
    secondary: list[int]
    ranks: list[int]
    prefaces: list[bytes]  # with which connections to the pool for HTTP/2 began
    picker: asyncio.subprocess.Process

    async def ask(
        self, path: str, pins: Sequence[int] = (), method: str = "POST", host: str = "primary.example.com"
    ) -> tuple[int, str, int]:
        """Status, and the pool and port that served."""
        headers = {"host": host, **({PIN: ",".join(f"{HOST}:{port}" for port in pins)} if pins else {})}
        body = BODY if method == "POST" else None
        async with self.gateway.session.request(method, self.gateway.url + path, json=body, headers=headers) as answer:
            if answer.status != 200:
                return answer.status, "", 0
            served = await answer.json()
            return 200, served["pool"], served["port"]

    async def ask_often(self, path: str, pins: Sequence[int], times: int) -> Counter[tuple[int, str, int]]:
        """So many requests, ten at once."""
        turns = asyncio.Semaphore(10)

        async def one() -> tuple[int, str, int]:
            async with turns:
                return await self.ask(path, pins)

        return Counter(await asyncio.gather(*(one() for _ in range(times))))


@asynccontextmanager
async def server(name: str) -> AsyncIterator[int]:
    (port,) = free_ports(1)

    async def echo(_request: web.Request) -> web.Response:
        return web.json_response({"pool": name, "port": port})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text="vllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.route("*", "/{path:.*}", echo)])
    async with admin.serving(app, HOST, port):
        yield port


@asynccontextmanager
async def preface_server(found: list[bytes]) -> AsyncIterator[int]:
    """Notes how each connection begins, and answers none."""

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(await reader.readline())
        writer.close()

    listening = await asyncio.start_server(note, HOST, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.fixture
async def suite(envoy_binary: Path, root: Path, tmp_path: Path) -> AsyncIterator[Conformance]:
    port, envoy_admin, grpc, health, metrics = free_ports(5)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        pools = {name: [await enter(server(name)) for _ in range(3)] for name in ("primary", "secondary")}
        ranks, prefaces = [await enter(server("ranks")) for _ in range(3)], list[bytes]()
        pools["h2c"] = [await enter(preface_server(prefaces))]
        endpoints = slice_of("epp", grpc, {"kubernetes.io/service-name": "epp"}) + "".join(
            slice_of(name, each, {"app": name}, index)
            for name, ports in pools.items()
            for index, each in enumerate(ports)
        )
        manifests = pool("primary", "FailClose") + pool("secondary") + pool("unserved", "FailClose", "nobody")
        manifests += pool("h2c").replace("spec:\n", "spec:\n  appProtocol: kubernetes.io/h2c\n")
        ports = ", ".join(f"{{number: {rank}}}" for rank in ranks)
        manifests += pool("ranks", "FailClose").replace("{number: 8000}", ports) + RANKS
        options = Options(bbr=None, picker=PickerTransport.EXT_PROC, picker_tls=True)
        gateway = await enter(
            running(envoy_binary, root, tmp_path, (port, envoy_admin), options,
                    gateway=GATEWAY, route=ROUTE, pools=manifests, endpoints=endpoints)
        )  # fmt: skip
        (tmp_path / "plugins.yaml").write_text(EPP_CONFIG)
        log = stack.enter_context((tmp_path / "epp.log").open("wb"))
        picker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "epp", "--pool-name", "primary", "--pool-namespace", "default",
            "--config-file", str(tmp_path / "plugins.yaml"), "--host", HOST, "--grpc-port", str(grpc),
            "--grpc-health-port", str(health), "--metrics-port", str(metrics), stderr=log,
            env={**os.environ, "POINTSMAN_CONFIG_DIR": str(tmp_path / "manifests")},
        )  # fmt: skip
        try:
            await gateway.until("cluster.epp_default_epp_9002.membership_healthy", 1)
            found = Conformance(gateway, pools["primary"], pools["secondary"], ranks, prefaces, picker)
            async with asyncio.timeout(30):
                while (await found.ask("/primary", method="GET"))[0] != 200:
                    await asyncio.sleep(0.1)
            yield found
        finally:
            if picker.returncode is None:
                picker.kill()
            await picker.wait()


async def test_the_pinned_endpoint_serves(suite: Conformance) -> None:
    for port in suite.primary:
        for _ in range(3):
            assert await suite.ask("/primary", [port]) == (200, "primary", port)


async def test_only_endpoints_of_the_list_serve(suite: Conformance) -> None:
    for length in (1, 2, 3):
        pins = suite.primary[:length]
        served = await suite.ask_often("/primary", pins, 100)
        assert {status for status, _, _ in served} == {200}
        assert {port for _, _, port in served} == set(pins)


async def test_each_rule_leads_to_its_pool_with_and_without_a_body_whatever_the_port(suite: Conformance) -> None:
    for method in ("GET", "POST"):
        for name in ("primary", "secondary"):
            assert (await suite.ask(f"/{name}", method=method))[:2] == (200, name)


async def test_each_rank_of_a_model_server_is_an_endpoint(suite: Conformance) -> None:
    for pins in (suite.ranks[:1], suite.ranks[1:]):
        served = await suite.ask_often("/ranks", pins, 30)
        assert {(status, name) for status, name, _ in served} == {(200, "ranks")}
        assert {port for _, _, port in served} == set(pins)


async def test_a_pool_s_servers_are_asked_by_its_protocol(suite: Conformance) -> None:
    assert (await suite.ask("/h2c"))[0] == 503
    began = {
        line for line in suite.prefaces if not line.startswith(b"GET ")
    }  # which is how the picker asks for figures
    assert began == {b"PRI * HTTP/2.0\r\n"}


async def test_a_second_gateway_has_pools_of_its_own_until_its_route_is_gone(suite: Conformance) -> None:
    ask = partial(suite.ask, "/any", method="GET", host="secondary.example.com")
    await suite.gateway.apply(second=SECOND_GATEWAY, second_route=SECOND_ROUTE)
    async with asyncio.timeout(20):
        while (await ask())[:2] != (200, "secondary"):
            await asyncio.sleep(0.05)
    assert (await suite.ask("/primary", method="GET"))[:2] == (200, "primary")

    await suite.gateway.apply(second_route="")
    async with asyncio.timeout(20):
        while (await ask())[0] != 404:
            await asyncio.sleep(0.05)
    assert (await suite.ask("/primary", method="GET"))[:2] == (200, "primary")


async def test_weights_hold_across_pools(suite: Conformance) -> None:
    times, share = 200, 0.7
    served = await suite.ask_often("/weighted", [*suite.primary, *suite.secondary], times)
    assert {status for status, _, _ in served} == {200}
    primary = sum(count for (_, name, _), count in served.items() if name == "primary") / times
    assert abs(primary - share) < max(0.10, 4.5 * math.sqrt(share * (1 - share) / times))
    ports = {name: {port for _, pool_, port in served if pool_ == name} for name in ("primary", "secondary")}
    assert ports["primary"] <= set(suite.primary)
    assert ports["secondary"] <= set(suite.secondary)


async def test_a_pool_or_picker_that_does_not_exist_is_a_server_error(suite: Conformance) -> None:
    for path in ("/nowhere", "/without-picker"):
        assert 500 <= (await suite.ask(path))[0] < 505


async def test_without_its_picker_a_pool_that_fails_open_serves_and_one_that_fails_closed_does_not(
    suite: Conformance,
) -> None:
    assert await suite.ask("/secondary", suite.secondary[:1]) == (200, "secondary", suite.secondary[0])
    suite.picker.kill()
    await suite.picker.wait()
    status, name, port = await suite.ask("/secondary", suite.secondary[:1])
    assert (status, name) == (200, "secondary")
    assert port in suite.secondary
    assert (await suite.ask("/primary"))[0] == 503
