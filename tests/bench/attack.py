"""`make attack`: what hostile clients cost others: bodies, heads, half-open connections, floods of labels.

One kind after the other, for some seconds each, through both transports of the picker, with ordinary requests beside
it. Everything is on loopback and bounded. It ends with 1 if an ordinary request fails, if an attack is answered with
a server's error that it did not earn, if a process outgrows its bound, or if `/metrics` does.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from tests.bench.bodies import KINDS as BODIES
from tests.bench.bodies import Memory, send
from tests.bench.gateway.__main__ import FOLDER, KIB, ROOT, Stack, host, running
from tests.bench.gateway.setting import EXT_PROC, GRPC_TRANSPORTS, HOST, HTTP_BY_MODEL, Commands, Ports
from tests.conftest import free_ports

RESULT: Final = FOLDER / "attack.json"
RATE: Final = 30  # ordinary requests a second
SECONDS: Final = 6.0  # of one kind
WARM_SECONDS: Final = 1.0
GOAL_P99_MS: Final = 100.0
GOAL_MEMORY_MIB: Final = 500.0  # of any process
MEMORY_LIMIT_MIB: Final = 1024.0  # as compose.yaml has it for Envoy
EXPOSITION_LIMIT_BYTES: Final = 1_000_000
# Statuses that refuse a request as it deserves; 0 is a connection that Envoy closed without an answer.
EARNED: Final = frozenset((0, 200, 400, 404, 408, 411, 413, 414, 422, 429, 431, 501))
ANSWER_SECONDS: Final = 2.0  # what gets no answer for so long waits for more bytes

Answers = Counter[int]
Attack = Callable[[int, Answers], Awaitable[None]]  # against a port, until cancelled


@dataclass(frozen=True, slots=True)
class Row:
    """One kind through one transport. Latencies are the ordinary requests'; memory in MiB."""

    transport: str
    kind: str
    p50_ms: float
    p99_ms: float
    errors: int
    answers: Mapping[int, int]
    memory: Mapping[str, float]
    exposition_bytes: int

    @property
    def is_failed(self) -> bool:
        """Whether anybody else noticed, or a bound was passed."""
        return bool(
            self.errors
            or set(self.answers) - EARNED
            or max(self.memory.values()) > MEMORY_LIMIT_MIB
            or self.exposition_bytes > EXPOSITION_LIMIT_BYTES
        )


async def raw(port: int, sent: bytes, answers: Answers) -> None:
    """Bytes on a connection of their own, and the status that they get."""
    status = 0
    with suppress(OSError, IndexError, ValueError, TimeoutError):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(sent)
            status = int((await asyncio.wait_for(reader.readline(), ANSWER_SECONDS)).split()[1])
        finally:
            writer.close()
    answers[status] += 1


async def together(count: int, pause: float, make: Callable[[], Awaitable[None]]) -> None:
    """So many at once, again and again."""
    while True:
        began = time.monotonic()
        await asyncio.gather(*(make() for _ in range(count)))
        await asyncio.sleep(max(0.0, began + pause - time.monotonic()))


async def bodies(port: int, answers: Answers, *, kind: str) -> None:
    """Bodies that are nothing but structure, sixteen at once."""
    body = BODIES[kind]()
    await together(16, 2.0, lambda: send(port, body, answers))


def head(*lines: str) -> bytes:
    """The head of a request."""
    return "\r\n".join(("POST /v1/chat/completions HTTP/1.1", "host: b", *lines, "", "")).encode()


HEADS: Final[tuple[bytes, ...]] = (
    head(f"x-long: {'a' * 200_000}", "content-length: 0"),
    head(*(f"x-{number}: {number}" for number in range(5000)), "content-length: 0"),
    head("content-length: 5", "transfer-encoding: chunked") + b"0\r\n\r\n",
    head("content-length: 5", "content-length: 6") + b"{}",
    head("transfer-encoding: gzip, chunked") + b"zzz\r\n",
    head("x-gateway-destination-endpoint: 127.0.0.1:1", "content-type: application/json", "content-length: 2") + b"{}",
    head("content-type: application/json", "transfer-encoding: chunked") + b"fffffffffffffffff\r\n",
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nhost: b\r\n\r\n",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: b\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096,
)


async def heads(port: int, answers: Answers) -> None:
    """Heads that are too large, contradict themselves, or are no HTTP."""
    while True:
        await asyncio.gather(*(raw(port, sent, answers) for sent in HEADS for _ in range(4)))
        await asyncio.sleep(0.2)


async def half_open(port: int, answers: Answers) -> None:
    """A thousand connections that say little and slowly: half of them no whole head, half no whole body."""
    starts = (head("content-type: application/json", "content-length: 1000000") + b"{", head()[:-2])
    writers = []
    for number in range(1000):
        with suppress(OSError):
            writers.append((await asyncio.open_connection(HOST, port))[1])
            writers[-1].write(starts[number % 2])
    answers[200] += 1  # none of them waits for an answer
    try:
        while True:
            await asyncio.sleep(1.0)
            for writer in writers:
                with suppress(OSError):
                    writer.write(b" ")
    finally:
        for writer in writers:
            writer.close()


async def labels(port: int, answers: Answers) -> None:
    """Names of tenants, objectives and models that nobody has, each another one."""
    number = 0
    while True:
        number += 1
        model = "bench" if number % 2 else f"model-{number}"
        messages = [{"role": "user", "content": "x"}]
        body = json.dumps({"model": model, "messages": messages, "max_tokens": 1}).encode()
        lines = (
            f"x-gateway-inference-fairness-id: tenant-{number}-{'x' * 200}",
            f"x-gateway-inference-objective: objective-{number}", "content-type: application/json",
            f"x-session-token: session-{number}", f"content-length: {len(body)}", "connection: close",
        )  # fmt: skip
        await raw(port, head(*lines) + body, answers)


ATTACKS: Final[Mapping[str, Attack]] = {
    "none": lambda _port, _answers: asyncio.sleep(3600.0),
    "nested tools": partial(bodies, kind="nested tools"),
    "depth": partial(bodies, kind="depth"),
    "token ids": partial(bodies, kind="token ids"),
    "heads": heads,
    "half-open": half_open,
    "labels": labels,
}


async def during(attack: Attack, port: int, answers: Answers) -> None:
    """An attack for its seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            await attack(port, answers)


def measure(stack: Stack, transport: str, kind: str) -> Row:
    """One kind, and ordinary requests beside it."""
    ports = stack.commands.ports
    port = ports.gateways[transport]
    service = GRPC_TRANSPORTS[0]
    names = {"envoy": f"envoy-{transport}", "epp": f"epp-{service}", "bbr": f"bbr-{service}"}
    pids = {part: stack.pid(name) for part, name in names.items()}
    load = [
        stack.commands.python, "-m", "tests.bench.gateway.load", "--port", str(port), "--rate", str(RATE),
        "--seconds", str(SECONDS + WARM_SECONDS),
    ]  # fmt: skip
    answers: Answers = Counter()
    with Memory(pids) as memory, subprocess.Popen(load, stdout=subprocess.PIPE, cwd=ROOT) as ordinary:
        time.sleep(WARM_SECONDS)
        asyncio.run(during(ATTACKS[kind], port, answers))
        found = json.loads(ordinary.communicate()[0])
    with urllib.request.urlopen(f"http://{HOST}:{ports.services[service].epp_metrics}/metrics", timeout=5) as answer:
        exposition = len(answer.read())
    errors = sum(found["errors"].values())
    return Row(transport, kind, found["p50_ms"], found["p99_ms"], errors, dict(answers), memory.largest, exposition)


def shown(row: Row) -> str:
    """A line of the table."""
    envoy, epp, bbr = (row.memory.get(part, 0.0) for part in ("envoy", "epp", "bbr"))
    missed = "" if row.p99_ms <= GOAL_P99_MS else "slow "
    missed += "" if max(row.memory.values()) <= GOAL_MEMORY_MIB else "large "
    return (
        f"{row.transport:<12}{row.kind:<14}{row.p50_ms:>8.1f}{row.p99_ms:>9.1f}{row.errors:>8}"
        f"{envoy:>7.0f}{epp:>6.0f}{bbr:>6.0f}{row.exposition_bytes / KIB:>9.0f}  "
        f"{'FAILED ' if row.is_failed else missed}{dict(sorted(row.answers.items()))}"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser("attack", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kinds", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    given = parser.parse_args()
    heading = f"{'transport':<12}{'attack':<14}{'p50 ms':>8}{'p99 ms':>9}{'errors':>8}"
    print(f"{heading}{'Envoy':>7}{'EPP':>6}{'BBR':>6}{'metrics':>9}  answers (MiB, KiB)")
    rows: list[Row] = []
    for transport in (EXT_PROC, HTTP_BY_MODEL):
        for kind in given.kinds:
            rows.append(fresh(transport, kind))
            print(shown(rows[-1]), flush=True)
    RESULT.write_text(json.dumps({"host": host(), "rows": [asdict(row) for row in rows]}, indent=1))
    print(f"written to {RESULT.relative_to(ROOT)}")
    if any(row.is_failed for row in rows):
        raise SystemExit("FAILED")


def fresh(transport: str, kind: str) -> Row:
    """Each kind gets processes of its own, so that memory is its own, too."""
    commands = Commands(
        Ports.spread(free_ports(Ports.COUNT)), FOLDER / "attack", ROOT / ".venv" / "bin",
        ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable, usage_extraction=True,
    )  # fmt: skip
    commands.write_manifests()
    with running(commands, [transport], None) as stack:
        return measure(stack, transport, kind)


if __name__ == "__main__":
    main()
