"""`make bench-epp-requests`: CPU of one request through the whole EPP, behind a real Envoy, by size and answer.

Prints a table and writes build/bench/epp_requests.json. The setting is the gateway bench's: canned model servers, BBR,
Envoy and the EPP as processes, ext_proc, usage extraction on. The EPP scrapes once a second, and what it costs at rest
is measured first and taken off, so that what remains is the requests': pick, end of stream, access log, heartbeats.
CPU is the scheduler's own account of all threads of the process, in nanoseconds.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from subprocess import run

from tests.bench.gateway.__main__ import FOLDER, ROOT, SLOWING_SECONDS, Stack, host, running
from tests.bench.gateway.setting import EXT_PROC, GRPC_TRANSPORTS, Commands, Ports
from tests.bench.gateway.usage import scheduled_seconds
from tests.conftest import free_ports

RESULT = FOLDER / "epp_requests.json"
REST_SECONDS = 10.0
# The access log's last entries arrive in batches of a second.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How many connections ask for how long, and what. A stream's tokens leave so many beats of 5 ms apart."""

    name: str
    connections: int
    seconds: float
    body_bytes: int = 4096
    tokens: int = 0
    beats: int = 1
    reference_ms: float | None = None  # the Go reference's, as its whole-EPP figure was published for it


KINDS = (
    Kind("4 KB", 4, 5, reference_ms=1.25),
    Kind("220 KB", 4, 5, body_bytes=220 * 1024, reference_ms=15.8),
    Kind("SSE of 10 tokens", 10, 5, tokens=10, reference_ms=18.0),
    Kind("SSE of 100 tokens", 50, 5, tokens=100),
    Kind("SSE of 2000 tokens", 100, 15, tokens=2000),
    # The same 50 s twice: what an answer costs by its length shows against what it costs by lasting.
    Kind("SSE of 10 tokens in 50 s", 100, 1, tokens=10, beats=1000),
    Kind("SSE of 10 000 tokens", 100, 1, tokens=10_000, reference_ms=68.5),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of request cost."""

    requests: int
    errors: int
    cpu_ms: float
    at_rest_ms: float  # what was taken off, per request
    reference_ms: float | None


def measure(stack: Stack, pid: int, kind: Kind, rest_cores: float) -> Cost:
    """Ask, wait for the last log entries, and divide."""
    load = [
        stack.commands.python, "-m", "tests.bench.gateway.load",
        "--port", str(stack.commands.ports.gateways[EXT_PROC]), "--seconds", str(kind.seconds),
        "--concurrency", str(kind.connections), "--body-bytes", str(kind.body_bytes), "--tokens", str(kind.tokens),
        "--beats", str(kind.beats),
    ]  # fmt: skip
    before, began = scheduled_seconds(pid), time.monotonic()
    found = json.loads(run(load, check=True, capture_output=True, cwd=ROOT).stdout)
    time.sleep(SETTLE_SECONDS)
    used, took = scheduled_seconds(pid) - before, time.monotonic() - began
    requests, rest = max(1, int(found["requests"])), rest_cores * took
    errors = sum(found["errors"].values())
    return Cost(requests, errors, (used - rest) * 1000 / requests, rest * 1000 / requests, kind.reference_ms)


def cores_at_rest(pid: int) -> float:
    """What the EPP costs while nobody asks."""
    time.sleep(SLOWING_SECONDS)
    before, began = scheduled_seconds(pid), time.monotonic()
    time.sleep(REST_SECONDS)
    return (scheduled_seconds(pid) - before) / (time.monotonic() - began)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.parse_args()
    folder = FOLDER / "epp-requests"
    commands = Commands(
        Ports.spread(free_ports(Ports.COUNT)), folder, ROOT / ".venv" / "bin",
        ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable, usage_extraction=True, scrape_interval="1s",
    )  # fmt: skip
    commands.write_manifests()
    costs: dict[str, Cost] = {}
    with running(commands, [EXT_PROC], None) as stack:
        described, pid = host(), stack.pid(f"epp-{GRPC_TRANSPORTS[0]}")
        rest = cores_at_rest(pid)
        print(f"{described}\nat rest {rest:.4f} cores\n")
        print(f"{'request':<22}{'requests':>9}{'EPP CPU ms':>12}{'taken off':>11}{'Go':>7}{'errors':>8}")
        for kind in KINDS:
            cost = costs[kind.name] = measure(stack, pid, kind, rest)
            print(
                f"{kind.name:<22}{cost.requests:>9}{cost.cpu_ms:>12.3f}{cost.at_rest_ms:>11.3f}"
                f"{cost.reference_ms or '':>7}{cost.errors:>8}",
                flush=True,
            )
    report = {
        "host": described,
        "cores at rest": rest,
        "requests": {name: asdict(cost) for name, cost in costs.items()},
    }
    RESULT.write_text(json.dumps(report, indent=1))
    print(f"written to {RESULT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
