"""`make bench-policies-live`: the lab's workloads in real time through Envoy, to confirm the policies' order.

Each policy gets the demo stack anew (three simulators of the demo's larger pool, latencies of the 8B model on an H100)
and the same Poisson arrivals. Round-robin is the picker made to obey a header; least-request is what Envoy does
when the picker is gone (two random choices, FailOpen). Prints a table and writes build/bench/policies_live.json.
Times include the host's own: with few cores they say which policy is faster, not how fast an H100 is. In brackets
stands what the lab says of the same requests on as many engines; there least-request looks at all of them. In `chat`
and `shared` a history holds the answers that came; in the others those of the workload, which no server has cached.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2 as httpx
import orjson

from epp.config.defaults import DEFAULT_TEXT
from lab.simulation.measures import Measures, Record, measure
from lab.workloads.conversations import Conversation, call_of
from lab.workloads.wider import WIDER
from tests.bench import policies
from tests.bench.live_answers import CHAT, LIMIT_NAMES, Answer
from tests.bench.policies import PROFILE
from tests.e2e.stack import Stack, free_ports_of_workers, process_stack

ROOT = Path(__file__).resolve().parents[2]
ENVOY = ROOT / ".tools" / "envoy" / "bin" / "envoy"
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
# Those whose servers need no adapters.
LIVE: Final = ("chat", "shared", "one-12000", "agents", "agents-long", "rag", "batch", "media")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a policy is made of the real parts."""

    config: str
    has_picker: bool = True
    names_endpoint: bool = False
    """The client names each request's endpoint, in turns."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all policies have in common. Times are in seconds."""

    workload: str
    seed: int
    rate: float
    warm: float
    span: float


def plans() -> Mapping[str, Plan]:
    """The same four as in the lab."""
    seed = (ROOT / "config" / "examples" / "queue-kv-prefix.yaml").read_text(encoding="utf-8")
    return {
        "round-robin": Plan(OBEDIENT_TEXT, names_endpoint=True),
        "least-request": Plan(seed, has_picker=False),
        "seed 2/2/3": Plan(seed),
        "default": Plan(DEFAULT_TEXT),
    }


class Sent(NamedTuple):
    """A request as it goes out."""

    path: str
    body: bytes


def request_of(conversation: Conversation, turn: int, answers: Mapping[int, str]) -> Sent:
    """The lab's request for the demo's model, with an answer as long as the lab's; `answers` are those that came."""
    call = call_of(conversation, turn, BLOCK)
    body = orjson.loads(call.body)
    if conversation.render is None:
        for before, text in answers.items():
            body["messages"][2 + 2 * before]["content"] = text
    most = len(conversation.turns[turn].answer.tokens) + 1
    body |= {"model": MODEL, LIMIT_NAMES[call.path]: most, "ignore_eos": True}
    if call.path == CHAT:
        body["stream_options"] = {"include_usage": True}
    return Sent(call.path, orjson.dumps(body))


async def send(
    client: httpx.AsyncClient, sent: Sent, headers: Callable[[], Mapping[str, str]], arrival: float
) -> tuple[Record, str]:
    """One request, its stream read to the end: what came of it, and the answer. Where the server whose turn it is takes
    none now, it is the next one's."""
    began = time.monotonic()
    for _ in range(ENDPOINTS - 1):
        try:
            return await attempt(client, sent, headers(), began, arrival)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                raise
    return await attempt(client, sent, headers(), began, arrival)


async def attempt(
    client: httpx.AsyncClient, sent: Sent, headers: Mapping[str, str], began: float, arrival: float
) -> tuple[Record, str]:
    """One of these."""
    first = last = began
    answer = Answer()
    async with client.stream("POST", sent.path, content=sent.body, headers=dict(headers)) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if answer.read(sent.path, line):
                last = time.monotonic()
                first = last if first == began else first
        endpoint = int(response.headers["x-inference-pod"].rpartition("-")[2])
    gap = (last - first) / max(1, answer.answer_tokens - 1)
    return Record(arrival, endpoint, first - began, gap, answer.prompt_tokens, answer.cached_tokens), answer.text


@dataclass(frozen=True, slots=True)
class Clients:
    """Everybody who talks to the stack, from `begin` on the clock for `until` seconds."""

    client: httpx.AsyncClient
    begin: float
    until: float
    headers: Callable[[], Mapping[str, str]]

    async def hold(self, conversation: Conversation, first: Sent) -> list[Record]:
        """One conversation, with the answers that came; `first` is its first request, made before its time."""
        records: list[Record] = []
        answers: dict[int, str] = {}
        arrival, request = conversation.start, first
        for turn in range(conversation.first, len(conversation.turns)):
            if turn > conversation.first:
                arrival = time.monotonic() - self.begin + conversation.turns[turn].pause
                request = request_of(conversation, turn, answers)
            if arrival >= self.until:
                break
            await asyncio.sleep(max(0.0, self.begin + arrival - time.monotonic()))
            record, answers[turn] = await send(self.client, request, self.headers, arrival)
            records.append(record)
        return records


async def drive(stack: Stack, plan: Plan, setting: Setting) -> list[Record]:
    """All conversations of the workload, each at its time."""
    turns = count()
    ports = stack.settings.ports.simulators[:ENDPOINTS]
    until = setting.warm + setting.span

    def headers() -> Mapping[str, str]:
        headers = {"content-type": "application/json"}
        return (
            headers | {TESTING_HEADER: f"127.0.0.1:{ports[next(turns) % ENDPOINTS]}"}
            if plan.names_endpoint
            else headers
        )

    held = WIDER[setting.workload].conversations(setting.rate, until, setting.seed)
    prepared = [(each, request_of(each, each.first, {})) for each in held]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=stack.url, timeout=TIMEOUT_SECONDS, limits=limits) as client:
        async with asyncio.TaskGroup() as group:
            clients = Clients(client, time.monotonic(), until, headers)
            tasks = [group.create_task(clients.hold(each, first)) for each, first in prepared]
        return [record for task in tasks for record in task.result()]


@contextmanager
def demo(config_text: str, *, workers: int = 1, **settings: Any) -> Iterator[Stack]:
    """The demo with this configuration of its picker. Its servers answer at once unless a profile says otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "epp.yaml"
        config.write_text(config_text)
        ports = free_ports_of_workers(workers)
        with process_stack(ROOT, Path(folder), ENVOY, ports, epp_config=config, workers=workers, **settings) as stack:
            yield stack


def live(setting: Setting, plan: Plan) -> Measures:
    """One policy on a stack of its own."""
    with demo(plan.config, simulator_profile=PROFILE) as stack:
        if not plan.has_picker:
            stack.running["epp"].terminate()
        records = asyncio.run(drive(stack, plan, setting))
    return measure(records, setting.warm, setting.warm + setting.span, ENDPOINTS)


def lab(setting: Setting, policy: str) -> Measures:
    """The same in virtual time."""
    window = policies.Window(setting.warm, setting.span)
    return policies.Run(PROFILE, setting.workload, policy, setting.rate, window, setting.seed, ENDPOINTS).measures()


def main(arguments: Sequence[str]) -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description="Compare policies in real time, through Envoy.")
    parser.add_argument("--rate", type=float, default=6.0, help="requests per second")
    parser.add_argument("--warm", type=float, default=25.0, help="seconds before measuring")
    parser.add_argument("--span", type=float, default=25.0, help="seconds measured")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the workload")
    parser.add_argument("--workloads", nargs="+", choices=LIVE, default=("chat", "shared"))
    parser.add_argument("--policies", nargs="+", choices=tuple(plans()), default=tuple(plans()))
    options = parser.parse_args(arguments)
    print(f"{ENDPOINTS} simulators, {options.rate:g} requests/s; in brackets: the same in virtual time")
    print("workload     seed policy              p50 ms        p90 ms        p99 ms        hit ratio  goodput/s")
    found = []
    for workload in options.workloads:
        for seed in options.seeds:
            setting = Setting(workload, seed, options.rate, options.warm, options.span)
            for policy in options.policies:
                real, virtual = live(setting, plans()[policy]), lab(setting, policy)
                print(line(setting, policy, real, virtual), flush=True)
                row = {"workload": workload, "seed": seed, "policy": policy}
                found.append(row | {"live": asdict(real), "lab": asdict(virtual)})
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps({"rate": options.rate, "runs": found}, indent=1))


def line(setting: Setting, policy: str, real: Measures, virtual: Measures) -> str:
    """One row of the table."""
    pairs = ((real.ttft_p50, virtual.ttft_p50), (real.ttft_p90, virtual.ttft_p90), (real.ttft_p99, virtual.ttft_p99))
    times = "".join(f"{1000 * here:7.0f} [{1000 * there:4.0f}]" for here, there in pairs)
    hits = f"{real.hit_ratio:9.3f} [{virtual.hit_ratio:.3f}]"
    return f"{setting.workload:12} {setting.seed:4} {policy:14}{times}{hits}{real.goodput:11.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
