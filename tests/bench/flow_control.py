"""`make bench-flow-control`: what flow control costs a request that need not wait, and what it does for those that do.

Cost: the pure picker with and without the gate, CPU time of the thread, the two in turns. Shows: the demo's stack with
a pool of four simulators of eight slots each, through the real Envoy. First interactive requests alone, then beside
batch that would fill the pool several times over, with flow control and without; then a tenant alone, and beside one of
the same priority that sends ten times as much. Prints tables and writes build/bench/flow_control.json. Each load ends
by itself. Times include the host's own: `alone` is measured on the same host, in the same run.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time as cpu_seconds
from typing import Any, Final

import aiohttp
import yaml

from epp.admission.configured import ConfiguredGate
from epp.app.timing import TimedGate
from epp.config import SchedulerConfig, parse_config
from epp.config.defaults import DEFAULT_TEXT
from epp.domain import Endpoint, EndpointId, EngineMetrics, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking.picker import Picker
from epp.telemetry.metrics import Metrics
from epp.testing import NOBODY
from processes import plan
from processes.plan import HOST, Process, Settings
from tests.conftest import free_ports
from tests.e2e.stack import PORT_COUNT, Stack, free_stack_ports, local_overlay, process_stack

ROOT: Final = Path(__file__).resolve().parents[2]
RESULT: Final = ROOT / "build" / "bench" / "flow_control.json"
MODEL: Final = "Qwen/Qwen3-32B"
GATED_TEXT: Final = DEFAULT_TEXT.replace("plugins:\n", "featureGates: [flowControl]\nplugins:\n", 1)
SIZES: Final = (4, 16, 100)
ROUNDS: Final = 7
COUNT: Final = 1500

SLOTS: Final = 8
# A prompt of 1500 tokens takes 150 ms, a step 30 ms: the first token is the prompt's affair, as in a real engine.
PROFILE: Final = """\
name: eight-slots
description: Eight requests at a time.
engine: {max_num_seqs: 8, max_num_batched_tokens: 4096, num_gpu_blocks: 16384, max_model_len: 32768}
step: {base: 3.0e-2, per_prefill_token: 1.0e-4, per_decode_sequence: 1.0e-4, jitter: 0.02}
adapters: {load_from_disk: 0.2, load_from_cpu: 0.02}
"""
PLUGINS: Final = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
"""
QUEUES: Final = f"""\
featureGates: [flowControl]
plugins:
- {{type: concurrency-detector, parameters: {{maxConcurrency: {SLOTS}}}}}
- {{type: priority-holdback-policy, parameters: {{minCeiling: 0.75}}}}
- {{type: active-request-scorer}}
flowControl:
  defaultRequestTTL: 8s
  saturationDetector: {{pluginRef: concurrency-detector}}
  usageLimitPolicyPluginRef: priority-holdback-policy
  defaultPriorityBand: {{fairnessPolicyRef: token-fairness-policy}}
  priorityBands:
  - {{priority: 1, fairnessPolicyRef: token-fairness-policy}}
  - {{priority: -1}}
"""
NO_QUEUES: Final = "plugins:\n- {type: active-request-scorer}\n"
OBJECTIVES: Final = {"interactive": 1, "batch": -1}
WORDS: Final = 1500


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one kind at a steady rate, by a Poisson process."""

    name: str
    rate: float
    words: int
    answer: int
    objective: str = ""
    flow: str = ""
    streams: bool = True
    spread: float = 0.0  # of the answers' lengths, both ways: crowds differ, and what is measured does not


INTERACTIVE: Final = Load("interactive", 5.0, WORDS, 15, objective="interactive")
BATCH: Final = Load("batch", 40.0, 40, 60, objective="batch", streams=False, spread=0.5)
SMALL: Final = Load("tenant", 4.0, 100, 40, objective="interactive", flow="small")
LARGE: Final = Load("ten times", 40.0, 100, 40, objective="interactive", flow="large", streams=False, spread=0.5)


@dataclass(slots=True)
class Answers:
    """What came of one load. Seconds."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0

    def summary(self) -> dict[str, float]:
        """Percentiles in milliseconds, and counts."""
        return {
            "served": len(self.first),
            "refused": self.refused,
            "failed": self.failed,
            **{f"ttft_p{share}_ms": 1000 * percentile(self.first, share) for share in (50, 90, 99)},
            "latency_p90_ms": 1000 * percentile(self.whole, 90),
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank; not a number without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)] if ordered else math.nan


# The cost


def picker(config: SchedulerConfig, endpoints: int) -> tuple[Picker, PoolId]:
    """The picker as a process has it, over so many idle endpoints."""
    metrics, pool = Metrics(), PoolId("bench/pool")
    gate = TimedGate(ConfiguredGate(config, metrics.queues), time.monotonic, metrics.queues)
    made = Picker(config, random=Random(1), replica="b", observer=metrics, gate=gate)
    found = tuple(Endpoint(EndpointId(f"10.0.0.{at}:8000"), f"10.0.0.{at}", 8000, f"e{at}") for at in range(endpoints))
    made.replace_pools({pool: PoolSpec(pool, found)}, 0.0)
    for endpoint in found:
        made.scraped(pool, endpoint.id, EngineMetrics(0, 8, 0.1, block_size=16, block_count=27_000), 0.0)
    return made, pool


def microseconds(config: SchedulerConfig, endpoints: int) -> float:
    """CPU time of one decision, the median of many. Requests come at 1000 a second; each has ended before the next."""
    made, pool = picker(config, endpoints)
    request = Request(
        pool, "POST", "/v1/completions", {"content-type": "application/json"}, b'{"model":"m","prompt":"hi"}'
    )
    times = []
    for number in range(COUNT):
        now = number / 10_000
        began = cpu_seconds()
        verdict = made.submit(request, NOBODY, now)
        times.append(cpu_seconds() - began)
        assert isinstance(verdict, Pick)
        made.settle(verdict.id, Outcome.ENDED, now)
    return 1e6 * median(times)


def costs() -> dict[int, tuple[float, float]]:
    """Without and with flow control, by the number of endpoints: the best round of each, in turns."""
    plain, gated = parse_config(DEFAULT_TEXT, "bench"), parse_config(GATED_TEXT, "bench")
    found = {}
    for size in SIZES:
        rounds = [(microseconds(plain, size), microseconds(gated, size)) for _ in range(ROUNDS)]
        found[size] = (min(without for without, _ in rounds), min(with_ for _, with_ in rounds))
    return found


# The shows


@contextmanager
def running(text: str, door: str, folder: Path) -> Iterator[Stack]:
    """The demo's stack with a fourth simulator, all with eight slots."""
    *numbers, extra = free_ports(PORT_COUNT + 1)
    ports = free_stack_ports(tuple(numbers))
    (folder / "profile.yaml").write_text(PROFILE)
    (folder / "epp.yaml").write_text(PLUGINS + text)
    overlay = local_overlay(ROOT, folder / "overlay", ports)
    (folder / "more").mkdir()
    (folder / "more" / "more.yaml").write_text(yaml.safe_dump_all(more(extra)))
    envoy = ROOT / ".tools" / "envoy" / "bin" / "envoy"
    layout_dirs = (ROOT / "config" / "demo", overlay, folder / "more")
    with process_stack(
        ROOT, folder / "run", envoy, ports, picker=door, config_dirs=layout_dirs, epp_config=folder / "epp.yaml",
        simulator_profile=str(folder / "profile.yaml"), log_level="warning",
    ) as stack:  # fmt: skip
        stack.start(fourth(stack.settings, extra))
        time.sleep(2.0)  # until it is scraped
        yield stack


def more(port: int) -> list[dict[str, Any]]:
    """The fourth endpoint, and objectives of both priorities."""
    pool = {"name": "vllm-qwen3-32b", "kind": "InferencePool", "group": "inference.networking.k8s.io"}
    piece = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "fourth", "labels": {"app": "vllm-qwen3-32b"}},
        "endpoints": [{"addresses": [HOST]}], "ports": [{"name": "http", "port": port}],
    }  # fmt: skip
    return [piece] + [
        {
            "apiVersion": "inference.networking.x-k8s.io/v1alpha2", "kind": "InferenceObjective",
            "metadata": {"name": name}, "spec": {"priority": priority, "poolRef": pool},
        }
        for name, priority in OBJECTIVES.items()
    ]  # fmt: skip


def fourth(settings: Settings, port: int) -> Process:
    """One more simulator like the first."""
    first = plan.simulators(settings)[0]
    own, theirs = str(port), str(settings.ports.simulators[0])
    return replace(
        first,
        name="vllm-qwen3-32b-3",
        arguments=tuple(own if argument == theirs else argument for argument in first.arguments),
        ready=first.ready.replace(theirs, own),
    )


async def drive(stack: Stack, loads: Sequence[Load], seconds: float) -> tuple[list[Answers], int]:
    """All loads at once; what came of each, and the most requests that waited within the engines at a time."""
    answers = [Answers() for _ in loads]
    worst = 0
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client, asyncio.TaskGroup() as group:
        for load, found in zip(loads, answers, strict=True):
            group.create_task(arrivals(client, stack.url, load, found, seconds))
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            await asyncio.sleep(0.1)
            worst = max(worst, await queued(client, stack))
    return answers, worst


async def arrivals(client: aiohttp.ClientSession, url: str, load: Load, found: Answers, seconds: float) -> None:
    """Send at the load's rate, whatever comes back."""
    random, until = Random(load.name), time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(round(load.rate * seconds * 2)):
            await asyncio.sleep(random.expovariate(load.rate))
            if time.monotonic() >= until:
                return
            answer = round(load.answer * (1 + load.spread * random.uniform(-1, 1)))
            start = f"{load.name} {number} {random.random()} "
            group.create_task(one(client, url, replace(load, answer=answer), found, start))


async def one(client: aiohttp.ClientSession, url: str, load: Load, found: Answers, start: str) -> None:
    """One streamed request to its end."""
    body = {
        "model": MODEL, "prompt": start + "word " * load.words, "max_tokens": load.answer, "ignore_eos": True,
        "stream": load.streams,
    }  # fmt: skip
    headers = {
        "x-gateway-inference-objective": load.objective, "x-gateway-inference-fairness-id": load.flow or load.name,
    }  # fmt: skip
    began = time.monotonic()
    try:
        async with client.post(f"{url}/v1/completions", json=body, headers=headers) as answer:
            if answer.status != 200:
                found.refused += answer.status == 429
                found.failed += answer.status != 429
                return
            await answer.content.readany()
            first = time.monotonic() - began
            await answer.read()
    except aiohttp.ClientError:
        found.failed += 1
        return
    found.first.append(first)
    found.whole.append(time.monotonic() - began)


async def queued(client: aiohttp.ClientSession, stack: Stack) -> int:
    """Requests that wait within the engines of the pool, by their last scrapes."""
    async with client.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug/pools") as answer:
        pools = (await answer.json())["pools"]
    metrics = [each["metrics"] or {} for pool in pools if "qwen3" in pool["pool"] for each in pool["endpoints"]]
    return sum(each.get("waiting") or 0 for each in metrics)


SHOWS: Final[Mapping[str, tuple[str, Mapping[str, Sequence[Load]]]]] = {
    "flow control": (
        QUEUES,
        {
            "interactive alone": (INTERACTIVE,),
            "interactive beside batch": (INTERACTIVE, BATCH),
            "tenant alone": (SMALL,),
            "tenant beside ten times": (SMALL, LARGE),
        },
    ),
    "without": (
        NO_QUEUES,
        {"interactive beside batch": (INTERACTIVE, BATCH), "tenant beside ten times": (SMALL, LARGE)},
    ),
}
Rows = dict[str, dict[str, Any]]


def shows(name: str, given: argparse.Namespace) -> Rows:
    """All shows of one configuration on one stack; their rows are printed as they come."""
    text, loads_by_show = SHOWS[name]
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as folder, running(text, given.picker, Path(folder)) as stack:
        for title, loads in loads_by_show.items():
            answers, worst = asyncio.run(drive(stack, loads, given.seconds))
            for load, found in zip(loads, answers, strict=True):
                row = rows[f"{title}: {load.name}"] = {**found.summary(), "most_waiting_in_engines": worst}
                print(line(name, title, load.name, row), flush=True)
    return rows


def line(name: str, title: str, load: str, row: dict[str, Any]) -> str:
    """One row of the table."""
    times = " ".join(f"{row[key]:8.0f}" for key in ("ttft_p50_ms", "ttft_p90_ms", "ttft_p99_ms", "latency_p90_ms"))
    counts = " ".join(f"{row[key]:7}" for key in ("served", "refused", "failed"))
    return f"{name:13} {title:25} {load:12} {counts} {times} {row['most_waiting_in_engines']:9}"


def ratios(rows: Rows) -> dict[str, float]:
    """What flow control promises, beside its unloaded value."""
    alone, beside = rows["interactive alone: interactive"], rows["interactive beside batch: interactive"]
    tenant, crowded = rows["tenant alone: tenant"], rows["tenant beside ten times: tenant"]
    return {
        "p99 TTFT of interactive beside batch, of its own alone": beside["ttft_p99_ms"] / alone["ttft_p99_ms"],
        "p90 latency of a tenant beside ten times, of its own alone": crowded["latency_p90_ms"]
        / tenant["latency_p90_ms"],
    }


def main(argv: Sequence[str]) -> None:
    """Print the tables and write the JSON."""
    parser = argparse.ArgumentParser("bench-flow-control", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each show")
    parser.add_argument("--picker", choices=("ext_proc", "http"), default="ext_proc")
    parser.add_argument("--only-cost", action="store_true")
    given = parser.parse_args(argv)
    print("us for a request that need not wait, by endpoints: without flow control, with it, difference")
    cost = costs()
    for size, (plain, gated) in cost.items():
        print(f"{size:6} {plain:8.1f} {gated:8.1f} {gated - plain:8.1f}", flush=True)
    report: dict[str, Any] = {"cost_us": {size: {"without": a, "with": b} for size, (a, b) in cost.items()}}
    if not given.only_cost:
        print(f"\n{'':52}  served refused  failed   TTFT50   TTFT90   TTFT99 answer90  waiting in engines")
        report["shows"] = {name: shows(name, given) for name in SHOWS}
        report["ratios"] = ratios(report["shows"]["flow control"])
        for name, ratio in report["ratios"].items():
            print(f"{name}: {ratio:.2f}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2))
    print(f"written to {RESULT.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
