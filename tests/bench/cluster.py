"""`make bench-cluster`: what thousands of Pods of an API server cost a picker that follows them.

Prints the first reading, memory, and the time from a Pod's change to the picker's pools, and writes
build/bench/cluster.json. The Pods are objects alone, which no node runs, and nothing is scraped: the figures are those
of the source and of discovery.
"""

import argparse
import asyncio
import gc
import json
import os
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import uvloop

from epp.discovery import Discovery, Pools, Scope
from gateway.kube.sources.cluster.credentials import from_kubeconfig
from gateway.kube.sources.cluster.server import ApiServer, connected
from gateway.kube.sources.cluster.source import Consumer
from gateway.kube.sources.opening import Cluster, opened
from gateway.service import lifecycle, logs
from gateway.service.metrics import Registry
from tests.bench.manifests import Heart, resident_megabytes

NAMESPACE = "bench"
MANAGER = "bench"
CONFIG = Path(os.environ.get("KUBECONFIG", "kubeconfig"))
AT_ONCE = 20  # requests that fill the cluster
CHANGES = 60
RESULT = Path("build/bench/cluster.json")


def pod(number: int, pools: int) -> dict[str, object]:
    """Of the size that a model server's Pod has: some 5 KB as JSON."""
    container = {
        "name": "server",
        "image": "localhost/pause:1",
        "args": [f"--argument-{each}=value" for each in range(20)],
        "env": [{"name": f"VARIABLE_{each}", "value": "a value"} for each in range(20)],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "labels": {"app": f"pool-{number % pools}"}},
        "spec": {"schedulerName": "none", "containers": [container]},
    }


def status(number: int, *, ready: bool) -> dict[str, object]:
    address = f"10.{100 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}"},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def pool(number: int) -> dict[str, object]:
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": f"pool-{number}"},
        "spec": {
            "selector": {"matchLabels": {"app": f"pool-{number}"}},
            "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
        },
    }


async def fill(server: ApiServer, pools: int, pods: int) -> None:
    """Make the objects, or leave them as they are."""
    await server.apply(
        f"/api/v1/namespaces/{NAMESPACE}",
        MANAGER,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    )
    await asyncio.sleep(2)  # for its service account
    path = f"/apis/inference.networking.k8s.io/v1/namespaces/{NAMESPACE}/inferencepools"
    for number in range(pools):
        await server.apply(f"{path}/pool-{number}", MANAGER, pool(number))
    shares = (range(first, pods, AT_ONCE) for first in range(AT_ONCE))
    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(_fill(server, pools, share))


async def _fill(server: ApiServer, pools: int, numbers: Iterable[int]) -> None:
    for number in numbers:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/pod-{number}"
        await server.apply(path, MANAGER, pod(number, pools))
        await server.apply(f"{path}/status", MANAGER, status(number, ready=True))


async def measure(server: ApiServer, scope: Scope) -> dict[str, float]:
    """Follow the objects, and change one Pod after the other."""
    lifecycle.tune_collector()
    taken: asyncio.Queue[Pools] = asyncio.Queue()
    heart, before, began, worked = Heart(), resident_megabytes(), perf_counter(), process_time()
    discovery = Discovery(taken.put_nowait)
    async with (
        opened(Cluster(CONFIG), Consumer(scope.needs), Registry()) as source,
        lifecycle.background(discovery.follow(source), heart.beat()),
    ):
        first = await taken.get()
        row: dict[str, float] = {
            "endpoints": sum(len(spec.endpoints) for spec in first.values()),
            "first_seconds": perf_counter() - began,
            "first_cpu_seconds": process_time() - worked,
            "first_block_ms": heart.reset() * 1000,
        }
        gc.collect()
        row["megabytes"] = resident_megabytes() - before
        await asyncio.sleep(1)
        heart.reset()
        worked, seconds = process_time(), []
        for change in range(CHANGES):
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/pod-0/status"
            await server.apply(path, MANAGER, status(0, ready=change % 2 == 1))
            began = perf_counter()
            await asyncio.wait_for(taken.get(), 20)
            seconds.append(perf_counter() - began)
    return {
        **row,
        "change_ms_median": median(seconds) * 1000,
        "change_ms_longest": max(seconds) * 1000,
        "change_block_ms": heart.longest * 1000,
        "change_cpu_ms": (process_time() - worked) / CHANGES * 1000,
    }


async def run(pools: int, pods: int) -> list[dict[str, float]]:
    """All pools, then one of them as `--pool-name` follows it."""
    async with connected(from_kubeconfig(CONFIG)) as server:
        await fill(server, pools, pods)
        return [await measure(server, Scope(NAMESPACE, name)) for name in ("pool-0", "")]


def main() -> None:
    """Fill, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--pods", type=int, default=5000)
    given = parser.parse_args()
    logs.configure("bench", "warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(run(given.pools, given.pods))
    print("endpoints  first reading, s  CPU, s  block, ms  memory, MB  change, ms: median  longest  block, ms  CPU, ms")
    for row in rows:
        print(
            f"{row['endpoints']:9.0f}  {row['first_seconds']:16.2f}  {row['first_cpu_seconds']:6.2f}"
            f"  {row['first_block_ms']:9.1f}  {row['megabytes']:10.1f}  {row['change_ms_median']:18.1f}"
            f"  {row['change_ms_longest']:7.1f}  {row['change_block_ms']:9.1f}  {row['change_cpu_ms']:7.1f}"
        )
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2))
    print(f"written to {RESULT}", flush=True)


if __name__ == "__main__":
    main()
