"""model-sim by the numbers: streams, tokens a second, a fleet at rest, memory, eviction, virtual time.

    make bench-sim            all of it, about three minutes, table on stdout and build/bench/sim.json
    python -m tests.bench.sim --only streams

The server runs as a process of its own on one core where there are two; the client shares the rest with whatever else
the host does, so p99 figures of a busy host are upper bounds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import aiohttp
import uvloop

from model_sim.engine.blocks import BlockPool
from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import Request
from tests.conftest import free_ports

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STREAMS = 500
STREAM_TOKENS = 200
STREAM_ITL = 0.020
FLEET = 100
FIRST_PORT = 21000
MANY_REQUESTS = 100_000

Results = dict[str, str]


class Measured:
    """A server process: its CPU seconds and resident bytes."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.pid = process.pid
        self.url = f"http://127.0.0.1:{port}"

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def megabytes(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 1e6


@contextlib.asynccontextmanager
async def server(*arguments: str, first_port: int | None = None, ready: int = 0) -> AsyncIterator[Measured]:
    """`model-sim` on a core of its own if there are two."""
    port = first_port or free_ports(1)[0]
    place = ("--base-port",) if arguments[0] == "fleet" else ("--port",)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "model_sim",
        *arguments,
        *place,
        str(port),
        "--host",
        "127.0.0.1",
        stderr=asyncio.subprocess.DEVNULL,
    )
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process.pid, {1})
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - {1})
    measured = Measured(process, port)
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"http://127.0.0.1:{port + ready}/readyz") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.1)
        yield measured
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Stream(asyncio.Protocol):
    """One SSE client without buffers: it stamps what arrives, since reading must not cost more than writing."""

    def __init__(self, gaps: list[float], done: asyncio.Event) -> None:
        self._gaps = gaps
        self._done = done
        self._last = 0.0

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        count = data.count(b'"text"')
        if count:
            if self._last:
                self._gaps.append(now - self._last)
                self._gaps.extend([0.0] * (count - 1))
            self._last = now
        if data.endswith(b"0\r\n\r\n"):
            self._done.set()


async def one_stream(port: int, tokens: int, gaps: list[float], start: asyncio.Event) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: Stream(gaps, done), "127.0.0.1", port)
    body = json.dumps({"prompt": "x", "max_tokens": tokens, "ignore_eos": True, "stream": True}).encode()
    await start.wait()
    transport.write(
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await done.wait()
    transport.close()


async def streams() -> Results:
    """Concurrent SSE streams, how far apart their tokens come, and what a token costs."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as profile:
        profile.write(f"name: even\nstep: {{base: {STREAM_ITL}}}\n")
        profile.write("engine: {max_num_seqs: 1024, max_num_batched_tokens: 8192, num_gpu_blocks: 100000}\n")
        profile.flush()
        async with server("serve", "m", "--profile", profile.name) as measured:
            port = int(measured.url.rpartition(":")[2])
            gaps: list[float] = []
            start = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(STREAMS):
                    tasks.create_task(one_stream(port, STREAM_TOKENS, gaps, start))
                await asyncio.sleep(1.0)
                before, began = measured.cpu(), time.perf_counter()
                start.set()
            elapsed, cpu = time.perf_counter() - began, measured.cpu() - before
    errors = [abs(gap - STREAM_ITL) for gap in gaps]
    tokens = STREAMS * STREAM_TOKENS
    return {
        f"{STREAMS} SSE streams at {1 / STREAM_ITL:.0f} tokens/s: ITL error p50 / p99": (
            f"{percentile(errors, 0.5) * 1e3:.2f} / {percentile(errors, 0.99) * 1e3:.2f} ms"
        ),
        f"the same: {STREAM_TOKENS} tokens took": f"{elapsed:.2f} s (ideal {STREAM_TOKENS * STREAM_ITL:.1f} s)",
        "the same: CPU per token": f"{cpu / tokens * 1e6:.1f} us ({cpu / elapsed:.0%} of a core)",
    }


async def throughput() -> Results:
    """Tokens a second with the profile `instant`, streamed and whole."""
    results = {}
    for stream in (True, False):
        async with server("serve", "m", "--profile", "instant") as measured, aiohttp.ClientSession() as session:
            body = {"prompt": "x", "max_tokens": 1000, "ignore_eos": True, "stream": stream}

            async def client(requests: int, body: dict[str, object] = body) -> None:
                for _ in range(requests):
                    async with session.post(f"{measured.url}/v1/completions", json=body) as response:
                        await response.read()

            before = measured.cpu()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(8):
                    tasks.create_task(client(40))
            cpu = measured.cpu() - before
        name = "streamed" if stream else "whole"
        results[f"tokens per core-second, instant, {name}"] = f"{8 * 40 * 1000 / cpu:,.0f}"
    return results


async def fleet() -> Results:
    """A hundred simulators in one process: at rest, and scraped 20 times a second each."""
    async with server("fleet", "m", "--size", str(FLEET), first_port=FIRST_PORT, ready=FLEET - 1) as measured:
        await asyncio.sleep(2)
        before, began = measured.cpu(), time.perf_counter()
        await asyncio.sleep(5)
        rest = (measured.cpu() - before) / (time.perf_counter() - began)
        memory = measured.megabytes()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            before, began, scrapes = measured.cpu(), time.perf_counter(), 0

            async def scrape(port: int) -> None:
                nonlocal scrapes
                while time.perf_counter() - began < 5:
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                        await response.read()
                    scrapes += 1
                    await asyncio.sleep(0.05)

            async with asyncio.TaskGroup() as tasks:
                for index in range(FLEET):
                    tasks.create_task(scrape(FIRST_PORT + index))
            cpu = measured.cpu() - before
    return {
        f"fleet of {FLEET} at rest: CPU, RSS": f"{rest:.3f} cores, {memory:.0f} MB",
        f"fleet of {FLEET}: CPU per scrape of 39 kB": f"{cpu / scrapes * 1e6:.0f} us ({scrapes / 5:.0f} scrapes/s)",
    }


async def long_context() -> Results:
    """Resident memory with room for, and with, 256 sequences of 131k tokens."""
    arguments = ("--max-model-len", "131072", "--max-num-seqs", "256", "--num-gpu-blocks", "2200000")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as profile:
        profile.write("name: slow\nstep: {base: 1.0}\nengine: {max_num_seqs: 256, max_num_batched_tokens: 40000000}\n")
        profile.flush()
        async with server("serve", "m", "--profile", profile.name, *arguments) as measured:
            empty = measured.megabytes()
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

                async def ask(number: int) -> None:
                    prompt = list(range(number * 1000, number * 1000 + 130_000))
                    body = {"prompt": prompt, "max_tokens": 1000, "ignore_eos": True}
                    async with session.post(f"{measured.url}/v1/completions", json=body) as response:
                        await response.read()

                held = []
                for number in range(256):
                    held.append(asyncio.ensure_future(ask(number)))
                    await asyncio.sleep(0.03)
                async with asyncio.timeout(120):
                    while True:
                        async with session.get(f"{measured.url}/metrics", headers={"Connection": "close"}) as response:
                            text = await response.text()
                        running = next(x for x in text.splitlines() if x.startswith("vllm:num_requests_running{"))
                        if running.endswith(" 256.0"):
                            break
                        await asyncio.sleep(0.5)
                full = measured.megabytes()
                for each in held:
                    each.cancel()
                await asyncio.gather(*held, return_exceptions=True)
    return {"RSS at 131k context x 256 sequences: idle, all running": f"{empty:.0f} MB, {full:.0f} MB"}


async def eviction() -> Results:
    """What evicting a block costs when a million are cached, and the longest single stall."""
    pool = BlockPool(1_000_000)
    pool.take(1_000_000)
    hashes = list(range(1_000_000))
    pool.share(hashes)
    pool.release(hashes, 0)
    worst = 0.0
    began = time.perf_counter()
    for _ in range(1000):
        started = time.perf_counter()
        pool.take(1000)
        worst = max(worst, time.perf_counter() - started)
    each = (time.perf_counter() - began) / 1_000_000
    return {
        "eviction at 1M cached blocks": f"{each * 1e6:.2f} us a block, longest of 1000 times 1000 {worst * 1e3:.2f} ms"
    }


async def memory() -> Results:
    """Resident memory over a hundred thousand requests, all different."""
    async with server("serve", "m", "--profile", "instant", "--num-gpu-blocks", "8192") as measured:
        connector = aiohttp.TCPConnector(limit=32)
        sizes = []
        async with aiohttp.ClientSession(connector=connector) as session:

            async def client(first: int, count: int) -> None:
                for number in range(first, first + count):
                    body = {"prompt": f"question number {number} " * 8, "max_tokens": 16}
                    async with session.post(f"{measured.url}/v1/completions", json=body) as response:
                        await response.read()

            began = time.perf_counter()
            step = MANY_REQUESTS // 10
            for part in range(10):
                async with asyncio.TaskGroup() as tasks:
                    for lane in range(32):
                        tasks.create_task(client(part * step + lane * (step // 32), step // 32))
                sizes.append(measured.megabytes())
            elapsed = time.perf_counter() - began
    shown = ", ".join(f"{size:.0f}" for size in (sizes[0], sizes[4], sizes[9]))
    return {
        f"RSS after 10k, 50k, {MANY_REQUESTS // 1000}k requests": f"{shown} MB ({MANY_REQUESTS / elapsed:.0f} req/s)"
    }


async def virtual_time() -> Results:
    """Simulated seconds per second: 10 endpoints, answers of 200 tokens, prompts of 1000 with shared prefixes."""
    results = {}
    profile = LatencyProfile(
        base=0.007, per_prefill_token=3e-5, per_decode_sequence=5e-5, per_context_token=5e-8, jitter=0.02
    )
    for rate in (50, 500):
        engines = [Engine(EngineConfig(num_gpu_blocks=26_000), profile, Random(rank)) for rank in range(10)]
        random = Random(1)
        chains = [[random.getrandbits(63) for _ in range(75)] for _ in range(50)]
        now, number, seconds = 0.0, 0, 6000 / rate
        began = time.process_time()
        while now < seconds:
            now += random.expovariate(rate)
            number += 1
            for engine in engines:
                engine.step(now)
            engines[number % 10].submit(Request(str(number), 1000, 200, block_hashes=chains[number % 50]), now)
        results[f"virtual time, 10 endpoints, {rate} req/s in all"] = (
            f"{seconds / (time.process_time() - began):.0f} simulated seconds per CPU second"
        )
    return results


BENCHES: dict[str, Callable[[], object]] = {
    "streams": streams,
    "throughput": throughput,
    "fleet": fleet,
    "long_context": long_context,
    "eviction": eviction,
    "memory": memory,
    "virtual_time": virtual_time,
}


async def run(names: list[str]) -> Results:
    results: Results = {
        "host": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load average before": f"{os.getloadavg()[0]:.1f}",
        "date": time.strftime("%Y-%m-%d"),
    }
    for name in names:
        made = BENCHES[name]()
        results |= await made  # type: ignore[misc]  # every bench is a coroutine function
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(BENCHES), action="append")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(run(options.only or list(BENCHES)))
    width = max(map(len, results))
    for name, value in results.items():
        print(f"{name:<{width}}  {value}")
    if not options.only:
        target = Path("build/bench/sim.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
