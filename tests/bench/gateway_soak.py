"""`make bench-gateway-soak`: does the picker keep anything, under resets, half-closed streams and GOAWAYs, for long?

Requests go through an Envoy at a steady rate; beside them, clients leave in the middle of their answers, and proxies of
another make open ext_proc streams straight to the picker and reset them, half-close them, or say GOAWAY and hang up. At
the end: no answer above 499, nothing in flight, and the memory of picker and router against that after the warm-up.
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
from contextlib import suppress

import grpc
import grpc.aio

from gateway import protos
from tests.bench.gateway import usage
from tests.bench.gateway.__main__ import FOLDER, ROOT, Stack, running
from tests.bench.gateway.load import question
from tests.bench.gateway.setting import EXT_PROC, GRPC_TRANSPORTS, HOST, Commands, Ports
from tests.conftest import free_ports

POOL = protos.load_pool()
Request = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
THREADS = 8
STRANGERS_PER_SECOND = 20.0
STRANGER_SECONDS = 20.0  # one that gets no answer for so long ends the soak
GONE_SHARE = 0.1  # of the clients, in the middle of a streamed answer
WARM_UP_SHARE = 0.25
SETTLE_SECONDS = 15.0  # picks without an access log entry end with their streams, at the latest by then
GROWTH_LIMIT_MIB = 20.0  # the prefix index fills up to its capacity
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)


def ask(port: int, rate: float, until: float, seed: int, statuses: Counter[str]) -> None:
    """One thread's share of the clients."""
    choose, number = random.Random(seed), seed << 32
    streamed, whole = (question(4096, tokens, beats=1, is_same=False) for tokens in (20, 0))
    due = time.monotonic()
    while due < until:
        due += choose.expovariate(rate / THREADS)
        time.sleep(max(0.0, due - time.monotonic()))
        number += 1
        leaves = choose.random() < GONE_SHARE
        with suppress(OSError), socket.create_connection((HOST, port), timeout=20) as client:
            client.sendall((streamed if leaves else whole).render(number))
            answer = client.recv(200)
            if answer:
                statuses[answer[9:12].decode()] += 1


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


async def strangers(port: int, until: float, kinds: Counter[str]) -> None:
    """Proxies of another make, one after the other."""
    choose = random.Random(0)
    while time.monotonic() < until:
        with suppress(grpc.aio.AioRpcError, OSError, asyncio.CancelledError):
            async with asyncio.timeout(STRANGER_SECONDS):
                kinds[await stranger(port, choose)] += 1
        await asyncio.sleep(1 / STRANGERS_PER_SECOND)


def load(stack: Stack, seconds: float, rate: float) -> tuple[Counter[str], Counter[str]]:
    """All of it for so long; statuses, and what the strangers did."""
    ports, until = stack.commands.ports, time.monotonic() + seconds
    statuses: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    threads = [
        threading.Thread(target=ask, args=(ports.gateways[EXT_PROC], rate, until, seed, statuses))
        for seed in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    asyncio.run(strangers(ports.services[GRPC_TRANSPORTS[0]].epp_grpc, until, kinds))
    for thread in threads:
        thread.join()
    return statuses, kinds


def in_flight(port: int) -> int:
    """What the picker believes to be under way."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", "/debug/pools")
    pools = json.loads(connection.getresponse().read())["pools"]
    connection.close()
    return sum(endpoint["in_flight"] for pool in pools for endpoint in pool["endpoints"])


def memory(stack: Stack) -> dict[str, float]:
    """MiB of the two services."""
    names = [f"{service}-{GRPC_TRANSPORTS[0]}" for service in ("epp", "bbr")]
    return {name: usage.resident_bytes(pid) / 2**20 for name in names if (pid := stack.pid(name)) is not None}


def main() -> None:
    parser = argparse.ArgumentParser("bench-gateway-soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    given = parser.parse_args()
    commands = Commands(
        Ports.spread(free_ports(Ports.COUNT)), FOLDER / "soak", ROOT / ".venv" / "bin",
        ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable, usage_extraction=True,
    )  # fmt: skip
    commands.write_manifests()
    with running(commands, [EXT_PROC], None) as stack:
        load(stack, given.seconds * WARM_UP_SHARE, given.rate)
        before = memory(stack)
        statuses, kinds = load(stack, given.seconds * (1 - WARM_UP_SHARE), given.rate)
        deadline = time.monotonic() + SETTLE_SECONDS
        metrics = commands.ports.services[GRPC_TRANSPORTS[0]].epp_metrics
        while (left := in_flight(metrics)) and time.monotonic() < deadline:
            time.sleep(0.2)
        after = memory(stack)
    growth = {name: round(after[name] - before[name], 1) for name in before}
    print(f"statuses {dict(statuses)}, strangers {dict(kinds)}, in flight at the end {left}")
    print(f"MiB after the warm-up {before}, growth {growth}")
    failed = [status for status in statuses if status >= "500"]
    if failed or left or max(growth.values()) > GROWTH_LIMIT_MIB:
        raise SystemExit("FAILED")


if __name__ == "__main__":
    main()
