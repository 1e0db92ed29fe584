"""`make bench-scraping`: what it costs to keep 100 endpoints' metrics fresh, at rest and busy.

Prints a table and writes build/bench/scraping.json. The endpoints are canned responders in a process of their own, so
that only the scraper, the parser and the picker's bookkeeping are measured: this process's CPU.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import monotonic, process_time

import uvloop

from epp.config import default_config
from epp.config.engines import BUILT_IN
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec, ScrapeFault, ServedModel
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.scraping.endpoints import Access
from epp.scraping.scraper import Scraper

POOL = PoolId("bench/pool")
ENDPOINTS = 100
INTERVALS = {"at rest, 1 s": 1.0, "busy, 50 ms": 0.05}
# The Go reference on the same kind of host: 100 endpoints, 20 scrapes a second each.
REFERENCE_CORES = 0.50
RESULT = Path("build/bench/scraping.json")

HISTOGRAM_LINES = 400  # with these a busy vLLM's exposition has about its real 36 KB
FIGURES = """\
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-32B"} 3.0
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-32B"} 5.0
vllm:kv_cache_usage_perc{engine="0",model_name="Qwen/Qwen3-32B"} 0.25
vllm:lora_requests_info{max_lora="4",running_lora_adapters="food, code",waiting_lora_adapters="third"} 1.75e+09
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="8192",sliding_window="None"} 1.0
process_start_time_seconds 1.75e+09
"""


def exposition() -> bytes:
    """As long as a real one, the wanted lines in the middle."""
    lines = [
        f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="{number}",model_name="Qwen/Qwen3-32B"}} {number}.0\n'
        for number in range(HISTOGRAM_LINES)
    ]
    return "".join([*lines[: HISTOGRAM_LINES // 2], FIGURES, *lines[HISTOGRAM_LINES // 2 :]]).encode()


class Responder(asyncio.Protocol):
    """Answers every request with one of two prepared answers."""

    text = exposition()
    metrics = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
    models = b'HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{"object":"list","data":[{"id":"qwen"}]}'

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self.models if b"/v1/models" in data else self.metrics)  # type: ignore[attr-defined]


async def respond() -> None:
    """Listen on many ports, say which, and end with standard input."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Responder, "127.0.0.1", 0) for _ in range(ENDPOINTS)]
    print(" ".join(str(server.sockets[0].getsockname()[1]) for server in servers), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def responders() -> Iterator[list[int]]:
    """The ports of the canned endpoints, in a process of their own."""
    command = [sys.executable, "-m", "tests.bench.scraping", "--respond"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]


class SteadyBrain:
    """The real picker's bookkeeping, asked for at a fixed interval."""

    def __init__(self, pools: dict[PoolId, PoolSpec], interval: float) -> None:
        self._picker = Picker(default_config(), random=Random(1), replica="b", observer=NullObserver())
        self._picker.replace_pools(pools, monotonic())
        self._interval = interval
        self.scrapes = self.faults = 0

    def scraped(self, pool: PoolId, endpoint: EndpointId, metrics: EngineMetrics | ScrapeFault, now: float) -> None:
        self.scrapes += 1
        self._picker.scraped(pool, endpoint, metrics, now)

    def models_listed(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        self._picker.models_listed(pool, endpoint, models, now)

    def scrape_interval(self, pool: PoolId, endpoint: EndpointId, now: float) -> float:
        return self._interval

    def scrape_succeeded(self, pool: PoolId) -> None:
        """Counted in observe."""

    def scrape_failed(self, pool: PoolId, fault: ScrapeFault) -> None:
        self.faults += 1


async def measure(ports: list[int], interval: float, seconds: float) -> dict[str, float]:
    """CPU and scrapes of some seconds, after a second to settle."""
    endpoints = tuple(Endpoint(EndpointId(f"127.0.0.1:{port}"), "127.0.0.1", port, str(port)) for port in ports)
    pools = {POOL: PoolSpec(POOL, endpoints)}
    brain = SteadyBrain(pools, interval)
    scraper = Scraper(brain, brain, monotonic, Access(lambda _: BUILT_IN["vllm"]), Random(1))
    scraper.replace_pools(pools)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(scraper.run())
        await asyncio.sleep(1)
        scrapes, before, started = brain.scrapes, process_time(), monotonic()
        await asyncio.sleep(seconds)
        cpu, passed, done = process_time() - before, monotonic() - started, brain.scrapes - scrapes
        running.cancel()
    assert brain.faults == 0, "the responders did not keep up"
    return {"scrapes_per_second": done / passed, "cores": cpu / passed, "microseconds_per_scrape": cpu / done * 1e6}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0, help="per row")
    parser.add_argument("--respond", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.respond:
            runner.run(respond())
            return
        with responders() as ports:
            rows = {name: runner.run(measure(ports, interval, given.seconds)) for name, interval in INTERVALS.items()}
    print(
        f"{ENDPOINTS} endpoints, {len(Responder.text) // 1000} KB each (Go reference, busy: {REFERENCE_CORES} cores)\n"
    )
    print(f"{'':<14}{'scrapes/s':>10}{'cores':>8}{'µs/scrape':>11}")
    for name, row in rows.items():
        figures = f"{row['scrapes_per_second']:>10.0f}{row['cores']:>8.3f}{row['microseconds_per_scrape']:>11.0f}"
        print(f"{name:<14}{figures}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"endpoints": ENDPOINTS, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
