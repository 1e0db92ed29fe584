"""`make bench-sharing`: what several pickers gain and cost. Prints rows and writes build/bench/sharing.json.

Parts: `lab` in virtual time (hits and TTFT by replicas, a burst), `cost` and `lag` (CPU by request, lateness, Redis's
commands), `warm` (a replica that starts), `live` behind the real Envoy (burst, workers, answers' lengths), `workloads`
(three of the lab's in real time). Each takes at most five minutes; BENCH_FLAGS="--parts cost lag" runs some.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.policies_live import Setting
from tests.bench.sharing import journals, live, replicas

RESULT: Final = Path("build/bench/sharing.json")
Rows = Iterator[tuple[str, str]]


def lab() -> Rows:
    """In virtual time."""
    yield from replicas.rows()
    for count in (1, 2, 4):
        yield f"burst of {replicas.BURST}, {count} replicas", f"max/mean {replicas.burst(count):.2f} on 8 endpoints"


def cost() -> Rows:
    """CPU of one request."""
    found = journals.cost()
    yield "CPU a request, alone", f"{found.alone:.0f} µs"
    yield "CPU a request, added at the sender", f"{found.sender:.0f} µs for {found.events:.1f} events"
    yield "CPU a request, at each receiver", f"{found.receiver:.0f} µs"


def live_rows() -> Rows:
    """Behind Envoy."""
    yield from live.burst_rows()
    yield from live.worker_rows()
    yield from live.answer_rows()


def workload_rows(rate: float, seconds: float) -> Rows:
    """In real time."""
    for workload in ("chat", "agents", "rag"):
        yield from live.workload_rows(Setting(workload, 1, rate, seconds, seconds))


def main(arguments: Sequence[str]) -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description="What several pickers gain and cost.")
    names = ("lab", "cost", "lag", "warm", "live", "workloads")
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--blocks", type=int, default=125_000, help="that each of eight endpoints caches, for `warm`")
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second of `workloads`")
    parser.add_argument("--seconds", type=float, default=12.0, help="of `workloads`, to warm up and to measure")
    given = parser.parse_args(arguments)
    parts: Mapping[str, Callable[[], Rows]] = {
        "lab": lab,
        "cost": cost,
        "lag": journals.lag_rows,
        "warm": partial(journals.warm_rows, given.blocks),
        "live": live_rows,
        "workloads": partial(workload_rows, given.rate, given.seconds),
    }
    found: dict[str, str] = {}
    for part in given.parts:
        for name, figures in parts[part]():
            found[name] = figures
            print(f"{name:45} {figures}", flush=True)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
