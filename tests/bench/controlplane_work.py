"""What it takes the control plane to read, plan and render many routes, and to follow one endpoint. One process.

`python -m tests.bench.controlplane_work FOLDER` writes 2000 routes over 200 pools of 10 endpoints into the folder, and
prints one JSON object. Times are of the work alone, without the 50 ms for which a change is awaited to be whole: CPU of
this process, which other work on the host does not change.
"""

import asyncio
import json
import sys
from pathlib import Path
from statistics import median
from time import process_time

from controlplane.memo import Memo
from controlplane.options import Delivery, Options
from controlplane.render import render
from controlplane.xds.ads.server import AdsServer
from controlplane.xds.files import FolderServer
from gateway.kube.sources.files import FolderReader
from gateway.service import lifecycle
from gateway.xds.codec import Codec
from tests.bench.manifests import resident_megabytes

ROUTES, POOLS, ENDPOINTS = 2000, 200, 10
ROUTES_IN_A_FILE = 10
CHANGES = 30

BASE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec: {gatewayClassName: pointsman, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: epp}
spec: {ports: [{port: 9002}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: epp, labels: {kubernetes.io/service-name: epp}}
addressType: IPv4
ports: [{name: grpc, port: 9002}]
endpoints: [{addresses: ['127.0.0.1']}]
"""
POOL = """\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: pool-{pool}}}
spec:
  selector: {{matchLabels: {{app: pool-{pool}}}}}
  targetPorts: [{{number: 8000}}]
  endpointPickerRef: {{name: epp, port: {{number: 9002}}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: pool-{pool}, labels: {{app: pool-{pool}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{endpoints}]
"""
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route-{route}}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
  - matches: [{{path: {{value: /r{path}}}, headers: [{{name: X-Gateway-Model-Name, value: m{route}}}]}}]
    backendRefs: [{{group: inference.networking.k8s.io, kind: InferencePool, name: pool-{pool}}}]
---
"""


def pool_text(pool: int, port: int = 8000) -> str:
    """A pool with its endpoints."""
    endpoints = ", ".join(f"{{addresses: ['10.0.{pool}.{number}']}}" for number in range(1, ENDPOINTS + 1))
    return POOL.format(pool=pool, port=port, endpoints=endpoints)


def routes_text(first: int, edit: int = 0) -> str:
    """The routes of one file; the path of the first says how often it was edited."""
    paths = {first: f"{first}-{edit}" if edit else str(first)}
    numbers = range(first, first + ROUTES_IN_A_FILE)
    return "".join(ROUTE.format(route=each, path=paths.get(each, each), pool=each % POOLS) for each in numbers)


def write(folder: Path) -> None:
    """Everything."""
    (folder / "gateway.yaml").write_text(BASE)
    for pool in range(POOLS):
        (folder / f"pool-{pool:03}.yaml").write_text(pool_text(pool))
    for first in range(0, ROUTES, ROUTES_IN_A_FILE):
        (folder / f"routes-{first:04}.yaml").write_text(routes_text(first))


async def measure(folder: Path, delivery: Delivery) -> dict[str, float | str]:
    """First rendering, then changes of one pool's endpoints, then edits of one route."""
    options = Options(xds=delivery)
    server = FolderServer(folder / "out") if delivery is Delivery.FILES else AdsServer(Codec())
    reader, memo = FolderReader([folder / "in"]), Memo()

    async def follow() -> float:
        began = process_time()
        loaded = reader.read()
        assert loaded is not None
        await server.serve(render(loaded.manifests, {}, options, memo).snapshot)
        return process_time() - began

    first = await follow()
    lifecycle.tune_collector()
    endpoint, route = [], []
    for change in range(1, CHANGES + 1):
        (folder / "in" / "pool-003.yaml").write_text(pool_text(3, 8000 + change))
        endpoint.append(await follow())
    for change in range(1, CHANGES + 1):
        (folder / "in" / "routes-0010.yaml").write_text(routes_text(10, change))
        route.append(await follow())
    return {
        "delivery": delivery.value,
        "first_seconds": first,
        "endpoint_ms_median": median(endpoint) * 1000,
        "endpoint_ms_longest": max(endpoint) * 1000,
        "route_ms_median": median(route) * 1000,
        "route_ms_longest": max(route) * 1000,
        "megabytes": resident_megabytes(),
    }


def main() -> None:
    """Measure one way of serving; two in one process would share its memory."""
    folder, delivery = Path(sys.argv[1]), Delivery(sys.argv[2])
    (folder / "in").mkdir(parents=True)
    write(folder / "in")
    print(json.dumps(asyncio.run(measure(folder, delivery))))


if __name__ == "__main__":
    main()
