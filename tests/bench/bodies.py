"""`make bench-bodies`: what the worst bodies within the limit do to everybody else.

Starts the gateway bench's stack, keeps ordinary requests of 4 KB going at a fixed rate, and sends sixteen bodies of one
kind at once, every two seconds. Prints the others' latencies and errors, what the senders got, and the largest resident
memory of each process; writes build/bench/bodies.json. Load goes to loopback only and ends by itself.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from gateway.wire.protocol import DEFAULT_BODY_LIMIT_BYTES
from tests.bench.gateway import usage
from tests.bench.gateway.__main__ import FOLDER, KIB, ROOT, Stack, host, running
from tests.bench.gateway.setting import EXT_PROC, GRPC_TRANSPORTS, HOST, HTTP_BY_MODEL, Commands, Ports
from tests.conftest import free_ports

RESULT = FOLDER / "bodies.json"
AT_ONCE = 16
SECONDS = 6.0
BURST_SECONDS = 2.0
RATE = 30
WARM_SECONDS = 1.0  # ordinary requests alone, before the first bodies
SAMPLE_SECONDS = 0.05
SIZE = DEFAULT_BODY_LIMIT_BYTES - 4096


def filled(item: bytes, size: int = SIZE) -> bytes:
    """Tools that are nothing but structure."""
    start = b'{"model":"bench","messages":[{"role":"user","content":"x"}],"tools":['
    return start + item * ((size - len(start) - 4) // len(item)) + b"0]}"


def text(size: int = SIZE) -> bytes:
    """One long message."""
    start, end = b'{"model":"bench","max_tokens":1,"messages":[{"role":"user","content":"', b'"}]}'
    return start + (b"lorem ipsum, dolor sit amet " * (size // 28))[: size - len(start) - len(end)] + end


def ids() -> bytes:
    """A prompt of as many token ids as are let through."""
    start, item = b'{"model":"bench","prompt":[', b"12345,"
    return start + item * min(1_400_000, (SIZE - len(start) - 3) // len(item)) + b"1]}"


def keys() -> bytes:
    """Many different keys."""
    members = b",".join(b'"k%d":1' % number for number in range(SIZE // 12))
    return b'{"model":"bench","messages":[{"role":"user","content":"x"}],"tools":[{' + members + b"}]}"


KINDS: Mapping[str, Callable[[], bytes]] = {
    "none": lambda: b"",
    "lists, 1 MB": lambda: filled(b"[],", KIB * KIB),
    "lists": lambda: filled(b"[],"),
    "nested tools": lambda: filled(b'{"a":{"b":[{},{"c":1}]}},'),
    "depth": lambda: b"[" * SIZE,
    "keys": keys,
    "token ids": ids,
    "text": text,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of body through one transport. Latencies are the ordinary requests'; memory in MiB."""

    transport: str
    kind: str
    p50_ms: float
    p99_ms: float
    errors: int
    answers: Mapping[int, int]
    memory: Mapping[str, float]


class Memory:
    """The largest resident memory of processes, sampled in a thread."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.largest = dict.fromkeys(pids, 0.0)
        self._pids = pids
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            for name, pid in self._pids.items():
                self.largest[name] = max(self.largest[name], usage.resident_bytes(pid) / KIB / KIB)


async def send(port: int, body: bytes, answers: Counter[int]) -> None:
    """One request on a connection of its own; 0 counts those without an answer."""
    lines = ("POST /v1/chat/completions HTTP/1.1", "host: b", "content-type: application/json", "connection: close")
    head = "\r\n".join((*lines, f"content-length: {len(body)}", "", ""))
    status = 0
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(head.encode())
        writer.write(body)
        await asyncio.wait_for(writer.drain(), 30)
        status = int((await asyncio.wait_for(reader.readline(), 30)).split()[1])
        writer.close()
    except (OSError, IndexError, TimeoutError):
        pass
    answers[status] += 1


async def attack(port: int, body: bytes) -> Counter[int]:
    """Sixteen senders at once, again and again."""
    answers: Counter[int] = Counter()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        began = time.monotonic()
        await asyncio.gather(*(send(port, body, answers) for _ in range(AT_ONCE)))
        await asyncio.sleep(max(0.0, began + BURST_SECONDS - time.monotonic()))
    return answers


def elsewhere(port: int, body: bytes) -> Counter[int]:
    """The attack from a process that yields to everybody: attackers have a host of their own, with its own cores."""
    with ProcessPoolExecutor(1, initializer=os.nice, initargs=(19,)) as other:
        return other.submit(attacked, port, body).result()


def attacked(port: int, body: bytes) -> Counter[int]:
    """What became of an attack."""
    return asyncio.run(attack(port, body))


def measure(stack: Stack, transport: str, kind: str, body: bytes) -> Row:
    """Ordinary requests, and one kind of body beside them."""
    port = stack.commands.ports.gateways[transport]
    service = GRPC_TRANSPORTS[0]
    names = {"envoy": f"envoy-{transport}", "epp": f"epp-{service}", "bbr": f"bbr-{service}"}
    pids = {part: stack.pid(name) for part, name in names.items()}
    load = [
        stack.commands.python, "-m", "tests.bench.gateway.load", "--port", str(port), "--rate", str(RATE),
        "--seconds", str(SECONDS + WARM_SECONDS),
    ]  # fmt: skip
    answers: Counter[int] = Counter()
    with Memory(pids) as memory, subprocess.Popen(load, stdout=subprocess.PIPE, cwd=ROOT) as ordinary:
        time.sleep(WARM_SECONDS)
        if body:
            answers = elsewhere(port, body)
        found = json.loads(ordinary.communicate()[0])
    errors = sum(found["errors"].values())
    return Row(transport, kind, found["p50_ms"], found["p99_ms"], errors, dict(answers), memory.largest)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    given = parser.parse_args()
    rows: list[Row] = []
    heads = f"{'transport':<12}{'bodies':<14}{'p50 ms':>8}{'p99 ms':>9}{'errors':>8}"
    print(f"{heads}{'Envoy':>7}{'EPP':>6}{'BBR':>6}  answers")
    for transport in (EXT_PROC, HTTP_BY_MODEL):
        for kind in given.kinds:
            row = fresh(transport, kind)
            rows.append(row)
            envoy, epp, bbr = (row.memory.get(part, 0.0) for part in ("envoy", "epp", "bbr"))
            print(
                f"{transport:<12}{kind:<14}{row.p50_ms:>8.1f}{row.p99_ms:>9.1f}{row.errors:>8}"
                f"{envoy:>7.0f}{epp:>6.0f}{bbr:>6.0f}  {dict(row.answers)}",
                flush=True,
            )
    RESULT.write_text(json.dumps({"host": host(), "rows": [asdict(row) for row in rows]}, indent=1))
    print(f"written to {RESULT.relative_to(ROOT)}")


def fresh(transport: str, kind: str) -> Row:
    """Each kind gets processes of its own, so that memory is its own, too."""
    folder: Path = FOLDER / "bodies"
    commands = Commands(
        Ports.spread(free_ports(Ports.COUNT)), folder, ROOT / ".venv" / "bin",
        ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable, usage_extraction=False,
    )  # fmt: skip
    commands.write_manifests()
    with running(commands, [transport], None) as stack:
        return measure(stack, transport, kind, KINDS[kind]())


if __name__ == "__main__":
    main()
