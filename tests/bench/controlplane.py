"""`make bench-controlplane`: how soon an edit serves, what many routes cost, and what a storm of edits costs requests.

Prints tables and writes build/bench/controlplane.json. The control plane and Envoy run as processes of their own, once
by files and once by ADS. Edits of one route: until the first request is served by it. Endpoints: one comes and goes
10 000 times in a minute, while requests go on. 2000 routes: see `controlplane_work`. About five minutes.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import aiohttp
from aiohttp import web

from controlplane.options import Delivery
from tests.bench.controlplane_work import BASE
from tests.conftest import ROOT, free_ports

HOST = "127.0.0.1"
EDITS = 200
CHANGES, CHANGING_SECONDS = 10_000, 60.0
REQUESTS_A_SECOND = 50
START_SECONDS = 60.0
RESULT = Path("build/bench/controlplane.json")

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: edited}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
  - matches: [{{path: {{value: /steady}}}}, {{path: {{value: /edit-{edit}}}}}]
    backendRefs: [{{name: servers, port: 80}}]
"""
SERVERS = """\
apiVersion: v1
kind: Service
metadata: {{name: servers}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: servers-{number}, labels: {{kubernetes.io/service-name: servers}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: ['{address}'], conditions: {{ready: {ready}}}}}]
"""


@dataclass(frozen=True)
class Bed:
    """Folders, addresses and processes of one way of serving."""

    manifests: Path
    url: str
    session: aiohttp.ClientSession
    pids: dict[str, int]
    server_port: int

    async def status(self, path: str) -> int:
        try:
            async with self.session.get(self.url + path) as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def until(self, path: str) -> float:
        """When a path is served."""
        async with asyncio.timeout(START_SECONDS):
            while await self.status(path) != 200:
                await asyncio.sleep(0.001)
        return perf_counter()


@asynccontextmanager
async def running(delivery: Delivery, folder: Path) -> AsyncIterator[Bed]:
    """A server, the control plane and Envoy."""
    server, gateway, admin, operators, xds = free_ports(5)
    manifests = folder / "in"
    manifests.mkdir(parents=True)
    (manifests / "gateway.yaml").write_text(BASE)
    (manifests / "route.yaml").write_text(ROUTE.format(edit=0))
    (manifests / "servers.yaml").write_text(SERVERS.format(number=0, port=server, address=HOST, ready="true"))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_server(server))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        arguments = ["run", "--config-dir", manifests, "--listen-address", HOST, "--port-map", f"80={gateway}",
                     "--no-bbr", "--http-port", operators, "--log-level", "error", "--xds", delivery,
                     "--output-dir", folder / "xds", "--xds-port", xds]  # fmt: skip
        plane = stack.enter_context(_process(folder / "plane.log", sys.executable, "-m", "controlplane", *arguments))
        await _answers(session, f"http://{HOST}:{operators}/readyz")
        envoy = stack.enter_context(
            _process(folder / "envoy.log", *_envoy(delivery, folder, {"admin": admin, "xds": xds}))
        )
        bed = Bed(
            manifests, f"http://{HOST}:{gateway}", session, {"control plane": plane.pid, "Envoy": envoy.pid}, server
        )
        await bed.until("/steady")
        yield bed


def _envoy(delivery: Delivery, folder: Path, ports: dict[str, int]) -> list[object]:
    binary = ROOT / ".tools" / "envoy" / "bin" / "envoy"
    name = "bootstrap.yaml" if delivery is Delivery.FILES else "bootstrap-grpc.yaml"
    text = (ROOT / "envoy" / name).read_text().replace("/xds/", f"{folder}/xds/").replace("18000", str(ports["xds"]))
    (folder / name).write_text(text.replace("9901", str(ports["admin"])))
    return [binary, "-c", folder / name, "--disable-hot-restart", "--concurrency", 1, "--log-level", "warning"]


@asynccontextmanager
async def _server(port: int) -> AsyncIterator[None]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="{}")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", port).start()
        yield
    finally:
        await runner.cleanup()


def _process(log: Path, *arguments: object) -> "subprocess.Popen[bytes]":
    with log.open("wb") as opened:
        return _Ended([str(item) for item in arguments], stdout=opened, stderr=opened)


class _Ended(subprocess.Popen[bytes]):
    """Ends with its context."""

    def __exit__(self, *_error: object) -> None:
        self.terminate()
        self.wait(20)


async def _answers(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def edits(bed: Bed) -> list[float]:
    """Milliseconds from a write to the first request that is served by it."""
    taken = []
    for edit in range(1, EDITS + 1):
        temporary = bed.manifests / ".route.new"
        temporary.write_text(ROUTE.format(edit=edit))
        began = perf_counter()
        temporary.replace(bed.manifests / "route.yaml")
        taken.append((await bed.until(f"/edit-{edit}") - began) * 1000)
        await asyncio.sleep(0.02)
    return sorted(taken)


async def storm(bed: Bed) -> dict[str, object]:
    """A second endpoint comes and goes, while requests go on."""
    statuses: Counter[int] = Counter()
    before = {name: _cpu_seconds(pid) for name, pid in bed.pids.items()}
    began = perf_counter()

    async def ask() -> None:
        while perf_counter() - began < CHANGING_SECONDS:
            statuses[await bed.status("/steady")] += 1
            await asyncio.sleep(1 / REQUESTS_A_SECOND)

    async def change() -> int:
        done = 0
        while done < CHANGES and perf_counter() - began < CHANGING_SECONDS * 1.5:
            due = int((perf_counter() - began) / CHANGING_SECONDS * CHANGES)
            for number in range(done, min(due, CHANGES)):
                ready = "true" if number % 2 else "false"
                text = SERVERS.format(number=1, port=bed.server_port, address="127.0.0.2", ready=ready)
                (bed.manifests / ".more.new").write_text(text)
                (bed.manifests / ".more.new").replace(bed.manifests / "more.yaml")
            done = max(done, min(due, CHANGES))
            await asyncio.sleep(0.002)
        return done

    _, made = await asyncio.gather(ask(), change())
    seconds = perf_counter() - began
    cores = {name: (_cpu_seconds(pid) - before[name]) / seconds for name, pid in bed.pids.items()}
    return {
        "changes": made,
        "seconds": seconds,
        "requests": statuses.total(),
        "failed": statuses.total() - statuses[200],
        "cores": cores,
    }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def measure(delivery: Delivery, folder: Path) -> dict[str, object]:
    """One way of serving."""
    async with running(delivery, folder) as bed:
        taken = await edits(bed)
        found = await storm(bed)
    return {"delivery": delivery.value, "edit_ms": taken, **found}


def work(delivery: Delivery) -> dict[str, float]:
    """The figures of 2000 routes, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.bench.controlplane_work", folder, delivery]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print, write."""
    rows, works = [], []
    for delivery in Delivery:
        works.append(work(delivery))
        with tempfile.TemporaryDirectory() as folder:
            rows.append(asyncio.run(measure(delivery, Path(folder))))
    print(f"edit of one route to the first request served by it, {EDITS} edits, ms:   p50    p99")
    for row in rows:
        taken = row["edit_ms"]
        assert isinstance(taken, list)
        print(f"  {row['delivery']:<66}{taken[len(taken) // 2]:7.1f}{taken[int(len(taken) * 0.99)]:7.1f}")
    print("2000 routes, 200 pools of 10 endpoints (CPU)   first, s   one endpoint, ms   one route, ms   memory, MB")
    for each in works:
        print(f"  {each['delivery']:<43}{each['first_seconds']:10.2f}{each['endpoint_ms_median']:19.1f}"
              f"{each['route_ms_median']:16.0f}{each['megabytes']:13.0f}")  # fmt: skip
    print("endpoint changes   changes  seconds  requests  failed  cores of the control plane, of Envoy")
    for row in rows:
        cores = row["cores"]
        assert isinstance(cores, dict)
        print(f"  {row['delivery']:<15}{row['changes']:9}{row['seconds']:9.1f}{row['requests']:10}{row['failed']:8}"
              f"  {cores['control plane']:.2f}, {cores['Envoy']:.2f}")  # fmt: skip
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"serving": rows, "work": works}, indent=2))
    print(f"written to {RESULT}", flush=True)


if __name__ == "__main__":
    main()
