"""`make bench-warm-start`: how long a picker takes that starts beside another one, and what Redis holds meanwhile.

Prints a table and writes build/bench/warm-start.json. The picker that knows is a process of its own; each of 8
endpoints holds as many blocks as the row says, no two of them alike.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from epp.config.defaults import DEFAULT_TEXT
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolSpec
from epp.sharing.redis_client import connect, read_address
from tests.conftest import free_ports
from tests.integration.epp.sharing.pickers import SharingPicker
from tests.unit.epp.admission.queues import POOL

ENDPOINTS = tuple(Endpoint(EndpointId(f"10.1.0.{at}:8000"), f"10.1.0.{at}", 8000, f"{at}") for at in range(8))
ROWS = ((125_000, 64), (125_000, 16), (1_000_000, 64), (1_000_000, 16))  # blocks at each endpoint, and of a prompt
GOAL_SECONDS = 5.0
LONGEST_SECONDS = 60.0
RESULT = Path("build/bench/warm-start.json")
READY = "ready"


def picker(url: str, name: str) -> SharingPicker:
    """One with these endpoints, which have room."""
    made = SharingPicker(url, name, DEFAULT_TEXT)
    made.picker.replace_pools({POOL: PoolSpec(POOL, ENDPOINTS)}, made.now())
    for each in ENDPOINTS:
        made.picker.scraped(POOL, each.id, EngineMetrics(0, 0, 0.0, block_size=64, block_count=1_100_000), made.now())
    return made


def held(made: SharingPicker) -> int:
    """Blocks over all endpoints."""
    index = made.picker.pools._builtin[POOL].prefixes.index
    return sum(index.held(slot) for slot in range(len(ENDPOINTS)))


async def hold(url: str, blocks: int, size: int) -> None:
    """Be the picker that knows, until killed."""
    made, random = picker(url, "knows"), Random(1)
    index = made.picker.pools._builtin[POOL].prefixes.index
    for slot in range(len(ENDPOINTS)):
        for _ in range(blocks // size):
            index.learn(slot, [random.getrandbits(64) for _ in range(size)])
    async with asyncio.TaskGroup() as group:
        group.create_task(made.run())
        while not made.follower.is_warm:
            await asyncio.sleep(0.05)
        print(READY, flush=True)


@contextmanager
def running(*command: str, wait_for: str = "") -> Iterator[None]:
    """A process, once it has written that line."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while wait_for and wait_for not in process.stdout.readline():
                assert process.poll() is None
            yield
        finally:
            process.kill()


async def warm_up(url: str, expected: int) -> dict[str, float]:
    """Start beside it."""
    client: Any = connect(read_address(url))
    made, peak = picker(url, "starts"), 0
    cpu, started = resource.getrusage(resource.RUSAGE_SELF).ru_utime, monotonic()
    task = asyncio.create_task(made.run())
    while held(made) < expected and monotonic() - started < LONGEST_SECONDS:
        peak = max(peak, int((await client.info("memory"))["used_memory"]))
        await asyncio.sleep(0.05)
    seconds, cpu = monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu
    task.cancel()
    await asyncio.wait([task])
    await client.aclose()
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "redis_mb": round(peak / 1e6, 1)}


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a server of its own."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        server = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
        with running(*server, wait_for="Ready to accept"):
            yield f"redis://127.0.0.1:{port}/0"


async def row(blocks: int, size: int) -> dict[str, float]:
    """One measurement, with a Redis of its own."""
    expected = blocks // size * size * len(ENDPOINTS)
    with redis() as url:
        holder = (sys.executable, "-m", "tests.bench.warm_start", "--hold", url, str(blocks), str(size))
        with running(*holder, wait_for=READY):
            found = await warm_up(url, expected)
    return {"blocks": blocks, "blocks_of_a_prompt": size, **found}


def show(rows: Sequence[dict[str, float]]) -> None:
    """The table."""
    print(f"{'blocks at each of 8':>20} {'of a prompt':>12} {'warm after s':>13} {'its CPU s':>10} {'Redis MB':>9}")
    for each in rows:
        print(
            f"{each['blocks']:>20,} {each['blocks_of_a_prompt']:>12} {each['seconds']:>13} {each['cpu_seconds']:>10}"
            f" {each['redis_mb']:>9}"
        )
    print(f"goal: {GOAL_SECONDS:g} s")


def main() -> None:
    """Measure, or be the picker that knows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hold", nargs=3, metavar=("URL", "BLOCKS", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold:
        asyncio.run(hold(given.hold[0], int(given.hold[1]), int(given.hold[2])))
        return
    rows = [asyncio.run(row(*each)) for each in ROWS]
    show(rows)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
