"""`make bench-policies-live`: the lab's shared workload in real time through Envoy, to confirm the policies' order.

Each policy gets the demo stack anew (three simulators of the demo's larger pool, latencies of the 8B model on an H100)
and the same Poisson arrivals. Round-robin is the picker made to obey a header; least-request is what Envoy does
when the picker is gone (two random choices, FailOpen). Prints a table and writes build/bench/policies_live.json.
Times include the host's own: with few cores they say which policy is faster, not how fast an H100 is.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson

from epp.config.defaults import DEFAULT_TEXT
from tests.bench.policies import PROFILE
from tests.conftest import free_ports
from tests.e2e.stack import PORT_COUNT, Stack, free_stack_ports, process_stack
from tests.lab.measures import Measures, Record, measure
from tests.lab.workloads import WORKLOADS, Conversation, call_of

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "bench" / "policies_live.json"
MODEL = "Qwen/Qwen3-32B"
ENDPOINTS = 3  # of the demo's pool for this model
BLOCK = 16
TESTING_HEADER = "test-epp-endpoint-selection"
OBEDIENT_TEXT = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: header-based-testing-filter
- type: random-picker
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: header-based-testing-filter}
  - {pluginRef: random-picker}
"""
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a policy is made of the real parts."""

    config: str
    has_picker: bool = True
    is_told: bool = False
    """The client names each request's endpoint, in turns."""


def plans() -> Mapping[str, Plan]:
    """The same four as in the lab."""
    seed = (ROOT / "config" / "demo" / "epp.yaml").read_text(encoding="utf-8")
    return {
        "round-robin": Plan(OBEDIENT_TEXT, is_told=True),
        "least-request": Plan(seed, has_picker=False),
        "seed 2/2/3": Plan(seed),
        "default": Plan(DEFAULT_TEXT),
    }


def body_of(conversation: Conversation) -> bytes:
    """The lab's request for the demo's model, with an answer as long as the lab's."""
    body = orjson.loads(call_of(conversation, 0, BLOCK).body)
    answer = len(conversation.turns[0].answer.tokens) + 1
    return orjson.dumps(body | {"model": MODEL, "max_tokens": answer, "ignore_eos": True})


async def send(client: httpx.AsyncClient, body: bytes, headers: Mapping[str, str], arrival: float) -> Record:
    """One request, its stream read to the end."""
    began = time.monotonic()
    first = last = began
    usage: dict[str, Any] = {}
    async with client.stream("POST", "/v1/chat/completions", content=body, headers=dict(headers)) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = orjson.loads(line[6:])
            if any(choice["delta"].get("content") for choice in chunk["choices"]):
                last = time.monotonic()
                first = last if first == began else first
            usage = chunk.get("usage") or usage
        endpoint = int(response.headers["x-inference-pod"].rpartition("-")[2])
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    gaps = max(1, usage["completion_tokens"] - 1)
    return Record(arrival, endpoint, first - began, (last - first) / gaps, usage["prompt_tokens"], cached)


async def drive(stack: Stack, plan: Plan, rate: float, until: float, seed: int) -> list[Record]:
    """All conversations of the workload, each at its time."""
    turns = count()
    ports = stack.settings.ports.simulators[:ENDPOINTS]
    prepared = [(each.start, body_of(each)) for each in WORKLOADS["shared"].conversations(rate, until, seed)]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=stack.url, timeout=TIMEOUT_SECONDS, limits=limits) as client:
        async with asyncio.TaskGroup() as group:
            begin = time.monotonic()
            tasks = []
            for start, body in prepared:
                await asyncio.sleep(max(0.0, begin + start - time.monotonic()))
                headers = {"content-type": "application/json"}
                if plan.is_told:
                    headers[TESTING_HEADER] = f"127.0.0.1:{ports[next(turns) % ENDPOINTS]}"
                tasks.append(group.create_task(send(client, body, headers, start)))
        return [task.result() for task in tasks]


def run(plan: Plan, rate: float, warm: float, span: float, seed: int) -> Measures:
    """One policy on a stack of its own."""
    with tempfile.TemporaryDirectory() as folder:
        run_folder = Path(folder)
        config = run_folder / "epp.yaml"
        config.write_text(plan.config)
        ports = free_stack_ports(free_ports(PORT_COUNT))
        envoy = ROOT / ".tools" / "envoy" / "bin" / "envoy"
        with process_stack(ROOT, run_folder, envoy, ports, epp_config=config, simulator_profile=PROFILE) as stack:
            if not plan.has_picker:
                stack.running["epp"].terminate()
            records = asyncio.run(drive(stack, plan, rate, warm + span, seed))
    return measure(records, warm, warm + span, ENDPOINTS)


def main(arguments: Sequence[str]) -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description="Compare policies in real time, through Envoy.")
    parser.add_argument("--rate", type=float, default=6.0, help="requests per second")
    parser.add_argument("--warm", type=float, default=25.0, help="seconds before measuring")
    parser.add_argument("--span", type=float, default=25.0, help="seconds measured")
    parser.add_argument("--seed", type=int, default=1, help="of the workload")
    parser.add_argument("--policies", nargs="+", choices=tuple(plans()), default=tuple(plans()))
    options = parser.parse_args(arguments)
    print(f"{ENDPOINTS} simulators, {options.rate:g} requests/s")
    print("policy         p50 ms  p90 ms  p99 ms  hit ratio  goodput/s")
    found = {}
    for name in options.policies:
        m = found[name] = run(plans()[name], options.rate, options.warm, options.span, options.seed)
        times = "".join(f"{1000 * value:8.0f}" for value in (m.ttft_p50, m.ttft_p90, m.ttft_p99))
        print(f"{name:13}{times}{m.hit_ratio:11.3f}{m.goodput:11.1f}", flush=True)
    document = {"rate": options.rate, "policies": {name: asdict(measures) for name, measures in found.items()}}
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
