"""What several pickers do behind the real Envoy, as processes of this host: picks for each second of CPU with one and
two workers, the CPU of an answer by its length, a burst, and the lab's workloads in real time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import aiohttp
import httpx2 as httpx

from epp.config.defaults import DEFAULT_TEXT
from lab.simulation.measures import measure
from processes import plan
from processes.plan import HOST
from processes.ports import WORKER_STRIDE, Ports
from tests.bench import policies_live
from tests.bench.gateway.usage import scheduled_seconds
from tests.bench.policies import PROFILE
from tests.bench.policies_live import MODEL, Plan, Setting, demo
from tests.conftest import free_ports
from tests.e2e.stack import Stack, wait_until

CLIENTS: Final = 16
REQUESTS: Final = 1500
WARM_REQUESTS: Final = 300
ANSWERS: Final = {10: 400, 100: 400, 1000: 200, 10_000: 40}  # tokens, and requests with so many
BURST: Final = 200
REPLICAS: Final = 4
# Scraping goes on for as long as an answer takes: it is no cost of a request, and kept small.
SELDOM_SCRAPED: Final = DEFAULT_TEXT.replace(
    "plugins:\n", "plugins:\n- {type: metrics-data-source, parameters: {interval: 5s}}\n", 1
)


def pids(stack: Stack) -> list[int]:
    """Of the picker: its only process, or supervisor and workers."""
    own = stack.running["epp"].popen.pid
    found = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug", timeout=10).json()
    return [own, *(each["pid"] for each in found.get("workers", ()))]


def body(number: int, tokens: int = 1) -> dict[str, object]:
    """A prompt of about four kilobytes, every other one begun before."""
    text = f"conversation {number % 40 if number % 2 else number}: " + "some words that were said. " * 150
    message = {"role": "user", "content": text}
    return {"model": MODEL, "messages": [message], "max_tokens": tokens, "ignore_eos": True, "stream": tokens > 1}


async def drive(url: str, count: int, tokens: int = 1) -> None:
    """So many requests from a few clients, one after the other."""
    numbers = iter(range(count))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            async with session.post(f"{url}/v1/chat/completions", json=body(number, tokens)) as answer:
                assert answer.status == 200, await answer.text()
                async for _ in answer.content.iter_any():
                    pass

    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client(session))


def spent(stack: Stack, work: Callable[[], None]) -> float:
    """CPU seconds of the picker's processes for that."""
    before = {pid: scheduled_seconds(pid) for pid in pids(stack)}
    work()
    return sum(scheduled_seconds(pid) - was for pid, was in before.items())


def worker_rows() -> Iterator[tuple[str, str]]:
    """One and two workers under the same load."""
    for workers in (1, 2):
        with demo(DEFAULT_TEXT, workers=workers) as found:
            asyncio.run(drive(found.url, WARM_REQUESTS))
            began = time.monotonic()
            seconds = spent(found, lambda: asyncio.run(drive(found.url, REQUESTS)))
            rate = REQUESTS / (time.monotonic() - began)
        yield f"{workers} workers", f"{REQUESTS / seconds:.0f} picks a CPU second, at {rate:.0f} requests/s"


def answer_rows() -> Iterator[tuple[str, str]]:
    """The picker's CPU for each request, by the length of the streamed answer."""
    with demo(SELDOM_SCRAPED, simulator_options=("--max-model-len", "16000")) as found:
        asyncio.run(drive(found.url, WARM_REQUESTS))
        for tokens, count in ANSWERS.items():
            used = spent(found, lambda: asyncio.run(drive(found.url, count, tokens)))  # noqa: B023 - called here
            yield f"answers of {tokens} tokens", f"{1e6 * used / count:.0f} µs of the picker's CPU a request"


def burst_rows() -> Iterator[tuple[str, str]]:
    """All at once over the demo's three servers."""
    for workers in (1, REPLICAS):
        with demo(DEFAULT_TEXT, workers=workers, simulator_profile=PROFILE) as found:
            asyncio.run(drive(found.url, 20))
            counts = asyncio.run(_burst(found.url))
        share = max(counts.values()) * len(counts) / sum(counts.values())
        yield f"burst of {BURST}, {workers} workers", f"max/mean {share:.2f} on {len(counts)} of 3 servers"


async def _burst(url: str) -> "Counter[str]":
    counts: Counter[str] = Counter()

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        async with session.post(f"{url}/v1/chat/completions", json=body(2 * number + 1000, 50)) as answer:
            counts[answer.headers["x-inference-pod"]] += 1
            await answer.read()

    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        for number in range(BURST):
            group.create_task(ask(session, number))
    return counts


def workload_rows(setting: Setting) -> Iterator[tuple[str, str]]:
    """One picker, four that know nothing of each other, and four workers."""
    for name, count, workers in (("1", 1, 1), (f"{REPLICAS} apart", REPLICAS, 1), (f"{REPLICAS} workers", 1, REPLICAS)):
        with demo(DEFAULT_TEXT, workers=max(count, workers), simulator_profile=PROFILE) as found:
            if count > 1:
                _part(found, count)
            records = asyncio.run(policies_live.drive(found, Plan(DEFAULT_TEXT), setting))
        measures = measure(records, setting.warm, setting.warm + setting.span, policies_live.ENDPOINTS)
        figures = f"hits {measures.hit_ratio:.3f}, TTFT p90 {1000 * measures.ttft_p90:.0f} ms"
        yield f"live {setting.workload}, {name}", figures


def _part(found: Stack, count: int) -> None:
    """In place of workers, so many pickers by themselves at the same ports."""
    found.running.pop("epp").terminate()
    alone = replace(found.settings, workers=1)
    for index in range(count):
        name = "epp" if index == 0 else f"epp-{index}"
        process = plan.epp(alone, name=name, ports=_ports_of_worker(found.settings.ports, index))
        found.start(replace(process, arguments=_own_bill(process.arguments, found, index)))
    wait_until(lambda: _completes(found), 60)


def _ports_of_worker(ports: Ports, index: int) -> Ports:
    """Those that Envoy knows, and operators' ports of its own."""
    if index == 0:
        return ports
    health, metrics = free_ports(2)
    return replace(
        ports, epp_grpc=ports.epp_grpc + WORKER_STRIDE * index, epp_http=ports.epp_http + WORKER_STRIDE * index,
        epp_health=health, epp_metrics=metrics,
    )  # fmt: skip


def _own_bill(arguments: tuple[str, ...], found: Stack, index: int) -> tuple[str, ...]:
    return (*arguments, "--usage-file", str(found.settings.layout.run / f"usage-{index}.db"))


def _completes(found: Stack) -> bool:
    answers = [httpx.post(f"{found.url}/v1/chat/completions", json=body(number), timeout=10) for number in range(4)]
    return all(answer.status_code == 200 for answer in answers)
