"""`make soak`: does anything grow or stay behind, under resets, half-closed streams and GOAWAYs, for long?

Requests go through an Envoy for each transport of the picker at a steady rate. Beside them clients leave in the middle
of their answers, and proxies of another make open ext_proc streams straight to picker and router and reset them,
half-close them, or say GOAWAY and hang up. Memory is printed once a minute. At the end: no answer above 499 and none
missing, nothing in flight, and the memory of each process against that after the warm-up. `make bench-gateway-soak`
does so for an hour.
"""

import argparse
import asyncio
import http.client
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import grpc
import grpc.aio

from gateway import protos
from tests.bench.gateway import usage
from tests.bench.gateway.__main__ import FOLDER, ROOT, Stack, running
from tests.bench.gateway.load import question
from tests.bench.gateway.setting import EXT_PROC, GRPC_TRANSPORTS, HOST, HTTP_BY_MODEL, Commands, Ports
from tests.conftest import free_ports

POOL = protos.load_pool()
Request = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
THREADS = 8
STRANGERS_PER_SECOND = 20.0
STRANGER_SECONDS = 20.0  # one that gets no answer for so long ends the soak
GONE_SHARE = 0.1  # of the clients, in the middle of a streamed answer
WARM_UP_SHARE = 0.25
WATCH_SECONDS = 60.0
CLIENT_SECONDS = 20.0
ANSWER_BYTES = 600  # of the head of an answer, and of an error's text
PROBLEMS = 50  # so many are printed
TRANSPORTS = (EXT_PROC, HTTP_BY_MODEL)
SETTLE_SECONDS = 15.0  # picks without an access log entry end with their streams, at the latest by then
GROWTH_LIMIT_MIB = 20.0  # the prefix index fills up to its capacity
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)


@dataclass(slots=True)
class Tally:
    """What became of the requests, and what the strangers did."""

    statuses: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)  # the first answers that are no 200, with their times
    strangers: Counter[str] = field(default_factory=Counter)

    def add(self, status: str, text: str) -> None:
        self.statuses[status] += 1
        if status != "200" and len(self.problems) < PROBLEMS:
            self.problems.append(f"{time.strftime('%H:%M:%S')} {text!r}")


def ask(port: int, rate: float, until: float, seed: int, tally: Tally) -> None:
    """One thread's share of the clients."""
    choose, number = random.Random(seed), seed << 32
    streamed, whole = (question(4096, tokens, beats=1, is_same=False) for tokens in (20, 0))
    due = time.monotonic()
    while due < until:
        due += choose.expovariate(rate / THREADS)
        time.sleep(max(0.0, due - time.monotonic()))
        number += 1
        leaves = choose.random() < GONE_SHARE
        try:
            with socket.create_connection((HOST, port), timeout=CLIENT_SECONDS) as client:
                client.sendall((streamed if leaves else whole).render(number))
                answer = client.recv(ANSWER_BYTES)
        except OSError as error:
            tally.add("none", repr(error))
        else:
            tally.add(answer[9:12].decode() or "none", answer.decode("latin-1"))


async def stranger(port: int, choose: random.Random) -> str:
    """A proxy of another make, for a moment."""
    what = choose.choice(["reset", "half-closed", "goaway"])
    if what == "goaway":
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(PREFACE + GOAWAY)
        await writer.drain()
        writer.close()
        return what
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        call = channel.stream_stream(PROCESS, Request.SerializeToString)(
            metadata=(("x-gateway-inference-pool", "default/bench"),)
        )
        message = Request()
        message.request_headers.headers.headers.add(key=":path", raw_value=b"/v1/completions")
        message.protocol_config.request_body_mode = 2
        await call.write(message)
        await call.read()
        message = Request()
        message.request_body.body, message.request_body.end_of_stream = b'{"model":"bench","prompt":"x"}', True
        await call.write(message)
        if choose.random() < 0.7:
            await call.read()
        if what == "reset":
            call.cancel()
        else:
            await call.done_writing()
            while await call.read() is not grpc.aio.EOF:
                pass
    return what


async def strangers(ports: Sequence[int], until: float, kinds: Counter[str]) -> None:
    """Proxies of another make, one after the other."""
    choose = random.Random(0)
    while time.monotonic() < until:
        with suppress(grpc.aio.AioRpcError, OSError, asyncio.CancelledError):
            async with asyncio.timeout(STRANGER_SECONDS):
                kinds[await stranger(choose.choice(ports), choose)] += 1
        await asyncio.sleep(1 / STRANGERS_PER_SECOND)


async def watch(stack: Stack, until: float) -> None:
    """Print memory once a minute."""
    started = time.monotonic()
    while (now := time.monotonic()) < until:
        sizes = ", ".join(f"{name} {size:.1f}" for name, size in memory(stack).items())
        print(f"{time.strftime('%H:%M:%S')} after {now - started:.0f} s, MiB: {sizes}", flush=True)
        await asyncio.sleep(min(WATCH_SECONDS, until - now))


async def besides(stack: Stack, until: float, kinds: Counter[str]) -> None:
    """What goes on beside the clients."""
    services = stack.commands.ports.services[GRPC_TRANSPORTS[0]]
    async with asyncio.TaskGroup() as group:
        group.create_task(strangers((services.epp_grpc, services.bbr_grpc), until, kinds))
        group.create_task(watch(stack, until))


def load(stack: Stack, seconds: float, rate: float) -> Tally:
    """All of it for so long."""
    ports = [stack.commands.ports.gateways[row] for row in stack.rows]
    until, tally = time.monotonic() + seconds, Tally()
    threads = [
        threading.Thread(target=ask, args=(ports[seed % len(ports)], rate, until, seed, tally))
        for seed in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    asyncio.run(besides(stack, until, tally.strangers))
    for thread in threads:
        thread.join()
    return tally


def in_flight(port: int) -> int:
    """What the picker believes to be under way."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", "/debug/pools")
    pools = json.loads(connection.getresponse().read())["pools"]
    connection.close()
    return sum(endpoint["in_flight"] for pool in pools for endpoint in pool["endpoints"])


def memory(stack: Stack) -> dict[str, float]:
    """MiB of the two services, and of each Envoy."""
    names = [
        *(f"{service}-{GRPC_TRANSPORTS[0]}" for service in ("epp", "bbr")),
        *(f"envoy-{row}" for row in stack.rows),
    ]
    return {name: usage.resident_bytes(stack.pid(name)) / 2**20 for name in names}


def main() -> None:
    parser = argparse.ArgumentParser("soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--transports", nargs="+", choices=TRANSPORTS, default=TRANSPORTS)
    given = parser.parse_args()
    commands = Commands(
        Ports.spread(free_ports(Ports.COUNT)), FOLDER / "soak", ROOT / ".venv" / "bin",
        ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable, usage_extraction=True,
    )  # fmt: skip
    commands.write_manifests()
    with running(commands, given.transports, None) as stack:
        warm_up = load(stack, given.seconds * WARM_UP_SHARE, given.rate)
        before = memory(stack)
        tally = load(stack, given.seconds * (1 - WARM_UP_SHARE), given.rate)
        deadline = time.monotonic() + SETTLE_SECONDS
        metrics = commands.ports.services[GRPC_TRANSPORTS[0]].epp_metrics
        while (left := in_flight(metrics)) and time.monotonic() < deadline:
            time.sleep(0.2)
        after = memory(stack)
    growth = {name: after[name] - before[name] for name in before}
    statuses = warm_up.statuses + tally.statuses
    print(f"\n{'process':<20}{'after warm-up':>14}{'at the end':>12}{'growth':>8}  MiB")
    for name, size in before.items():
        print(f"{name:<20}{size:>14.1f}{after[name]:>12.1f}{growth[name]:>8.1f}")
    print(f"{'requests':<20}{dict(sorted(statuses.items()))}")
    print(f"{'other proxies':<20}{dict(warm_up.strangers + tally.strangers)}")
    print(f"{'in flight':<20}{left}")
    print("\n".join(warm_up.problems + tally.problems))
    failed = [status for status in statuses if status >= "500"]  # "none" is among them
    if failed or left or max(growth.values()) > GROWTH_LIMIT_MIB:
        raise SystemExit("FAILED")


if __name__ == "__main__":
    main()
