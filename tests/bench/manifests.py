"""`make bench-manifests`: what it takes to read and follow folders of manifests, and how long the loop waits for it.

Prints a table and writes build/bench/manifests.json. A folder holds EndpointSlices spread over pools, in as many files
as there are slices but a thousand at most. The picker's discovery follows it, while a task that wants to run every
millisecond notes the most work that kept it from it. Each size runs in a process of its own, as a service does.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import uvloop

from epp.discovery import Discovery, Pools
from epp.domain import PoolId
from gateway.kube.sources.folders import FolderSource
from gateway.service import lifecycle, logs

SIZES = (10, 1_000, 10_000)
FILES = 1_000
SLICES_IN_A_POOL = 50
EDITS = 9
BEAT_SECONDS = 0.001
RESULT = Path("build/bench/manifests.json")

POOL = """\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: pool-{pool}, namespace: default}}
spec:
  selector:
    matchLabels: {{app: pool-{pool}}}
  targetPorts:
  - number: 8000
  endpointPickerRef: {{name: epp, port: {{number: 9002}}}}
---
"""
SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: slice-{slice}
  namespace: default
  labels:
    app: pool-{pool}
    kubernetes.io/service-name: service-{pool}
addressType: IPv4
ports:
- name: http
  port: {port}
endpoints:
- addresses:
  - 10.{high}.{low}.1
  conditions:
    ready: true
  targetRef:
    kind: Pod
    name: pod-{slice}
---
"""


def slice_text(number: int, port: int = 8000) -> str:
    """One EndpointSlice, as `kubectl get -o yaml` would print the essential of it."""
    pool = number // SLICES_IN_A_POOL
    return SLICE.format(slice=number, pool=pool, port=port, high=number // 250, low=number % 250)


def write(folder: Path, slices: int) -> None:
    """The folder: pools in one file, slices in many."""
    pools = range(-(-slices // SLICES_IN_A_POOL))
    (folder / "pools.yaml").write_text("".join(POOL.format(pool=pool) for pool in pools))
    for number in range(min(slices, FILES)):
        (folder / f"slices-{number:04}.yaml").write_text(file_text(slices, number))


def file_text(slices: int, number: int, port: int = 8000) -> str:
    """One of the files; its first slice has the port."""
    of_file = range(number, slices, FILES)
    return "".join(slice_text(each, port if each == number else 8000) for each in of_file)


class Heart:
    """Beats every millisecond and remembers the most work that went on between two beats.

    Work is CPU time of all threads of this process: what else the host does stays out.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        last, worked = perf_counter(), process_time()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            now, work = perf_counter(), process_time()
            self.longest = max(self.longest, min(now - last - BEAT_SECONDS, work - worked))
            last, worked = now, work

    def reset(self) -> float:
        """The longest since the last reset."""
        longest, self.longest = self.longest, 0.0
        return longest


async def measure(slices: int, folder: Path) -> dict[str, float]:
    """First load, then edits of one file."""
    taken: asyncio.Queue[Pools] = asyncio.Queue()
    heart, before, began = Heart(), resident_megabytes(), perf_counter()
    discovery = Discovery(taken.put_nowait)
    async with lifecycle.background(discovery.follow(FolderSource([folder])), heart.beat()):
        lifecycle.tune_collector()
        first = await taken.get()
        load_seconds, load_block = perf_counter() - began, heart.reset()
        assert sum(len(spec.endpoints) for spec in first.values()) == slices
        gc.collect()
        await asyncio.sleep(1)
        edits = []
        for edit in range(EDITS):
            heart.reset()
            began = perf_counter()
            (folder / "slices-0003.yaml").write_text(file_text(slices, 3, 9000 + edit))
            while all(found.port != 9000 + edit for found in (await taken.get())[PoolId("default/pool-0")].endpoints):
                pass
            edits.append((perf_counter() - began, heart.longest))
            await asyncio.sleep(0.3)
    return {
        "slices": slices,
        "files": min(slices, FILES),
        "first_load_seconds": load_seconds,
        "first_load_block_ms": load_block * 1000,
        "edit_seconds": median(seconds for seconds, _ in edits),
        "edit_block_ms_median": median(block for _, block in edits) * 1000,
        "edit_block_ms_longest": max(block for _, block in edits) * 1000,
        "megabytes": resident_megabytes() - before,
    }


def resident_megabytes() -> float:
    """What the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def in_a_process(slices: int) -> dict[str, float]:
    """One row, measured by itself."""
    command = [sys.executable, "-m", "tests.bench.manifests", "--slices", str(slices)]
    row: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )
    return row


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--slices", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.slices is not None:
        logs.configure("bench", "warning")
        with tempfile.TemporaryDirectory() as name, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            write(Path(name), given.slices)
            print(json.dumps(runner.run(measure(given.slices, Path(name)))))
        return
    rows = [in_a_process(slices) for slices in SIZES]
    print("slices  files  first load, s  its block, ms  edit, s  block, ms: median  longest  memory, MB")
    for row in rows:
        print(
            f"{row['slices']:6}  {row['files']:5}  {row['first_load_seconds']:13.2f}"
            f"  {row['first_load_block_ms']:13.1f}"
            f"  {row['edit_seconds']:7.3f}  {row['edit_block_ms_median']:17.1f}  {row['edit_block_ms_longest']:7.1f}"
            f"  {row['megabytes']:10.0f}"
        )
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2))
    print(f"written to {RESULT}", flush=True)


if __name__ == "__main__":
    main()
