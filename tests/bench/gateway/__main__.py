"""`make bench-gateway`: what a pick costs, by the way that Envoy asks for it.

Starts cheap upstreams, BBR, EPP and one Envoy per row, loads each row's Envoy from a process of its own, and prints one
table, the median of three rounds in which the rows alternate; the JSON goes beside it. Load goes to loopback only and
ends by itself. `--picker-command` starts another ext_proc server for a row of its own, `duplex peer`, in the same
table: `{grpc_port}`, `{health_port}`, `{metrics_port}`, `{upstreams}` (ports, with commas) and `{manifests}` in it are
filled in.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from tests.bench.gateway import usage
from tests.bench.gateway.envoys import IS_STATIC, bootstrap
from tests.bench.gateway.figures import Cell, goals, median, ratios, scraping, table
from tests.bench.gateway.setting import (
    DUPLEX_PEER,
    EXT_PROC,
    GRPC_TRANSPORTS,
    HOST,
    PEER,
    PLAIN,
    ROWS,
    Commands,
    Ports,
    picker_of,
    way_of,
)
from tests.conftest import free_ports

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "build" / "bench"
READY_SECONDS = 60.0
SETTLE_SECONDS = 0.5  # between cells, so that one's last scrapes and log entries are not the next one's
SLOWING_SECONDS = 4.0  # until an EPP at rest scrapes as rarely as it ever does
KIB = 1024


@dataclass(frozen=True, slots=True)
class Column:
    """One kind of load. A stream's seconds are at least what its tokens take."""

    name: str
    arguments: tuple[str, ...]
    at_least_seconds: float = 0.0


COLUMNS = (
    Column("4 KB, c=1", ("--concurrency", "1")),
    Column("4 KB, c=16", ("--concurrency", "16")),
    Column("4 KB, c=64", ("--concurrency", "64")),
    Column("220 KB, c=16", ("--concurrency", "16", "--body-bytes", str(220 * KIB))),
    Column("220 KB, c=100", ("--concurrency", "100", "--body-bytes", str(220 * KIB))),
    Column("SSE 100, 10/s", ("--rate", "10", "--tokens", "100"), 4.0),
    Column("SSE 1000, 10/s", ("--rate", "10", "--tokens", "1000"), 5.0),
    Column("SSE 2000, 10/s", ("--rate", "10", "--tokens", "2000"), 5.0),
    Column("4 KB, 100/s", ("--rate", "100",), 4.0),
    Column("SSE 100 in 10 s", ("--rate", "10", "--tokens", "100", "--beats", "20"), 5.0),  # as long as SSE 2000
    # Only by --columns: with 220 KB, c=100 the loads of a public report on pickers and long prompts.
    Column("220 KB, c=20", ("--concurrency", "20", "--body-bytes", str(220 * KIB))),
    Column("220 KB, c=60", ("--concurrency", "60", "--body-bytes", str(220 * KIB))),
    Column("220 KB, c=150", ("--concurrency", "150", "--body-bytes", str(220 * KIB))),
)  # fmt: skip
USUAL_COLUMNS = 10


class Stack:
    """Everything that runs, ended by the ids that were started."""

    def __init__(self, commands: Commands, rows: Sequence[str]) -> None:
        self.commands = commands
        self.rows = rows
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs = ExitStack()

    def start(self, picker_command: str | None) -> None:
        commands = self.commands
        self._launch("upstream", commands.upstream())
        for picker in sorted({picker_of(row) for row in self.rows if row != PLAIN}, reverse=True):
            if picker == PEER:
                self._launch(f"epp-{picker}", self._filled(picker_command or ""))
            else:
                self._launch(f"epp-{picker}", commands.epp(picker))
            if picker in GRPC_TRANSPORTS:
                self._launch(f"bbr-{picker}", commands.bbr(picker))
        for row in self.rows:
            target = commands.folder / row
            target.mkdir(parents=True, exist_ok=True)
            if way_of(row) not in IS_STATIC:
                subprocess.run(commands.render(row), check=True, capture_output=True)
            (target / "bootstrap.json").write_text(bootstrap(row, commands.ports, commands.folder))
            self._launch(f"envoy-{row}", commands.envoy(row))
        for row in self.rows:
            wait_until(partial(self._answers, row), f"{row}: no 200 through Envoy; logs in {commands.folder}")

    def start_scraping(self) -> None:
        """Only endpoints, and an EPP that scrapes them."""
        self._launch("upstream", self.commands.upstream())
        self._launch(f"epp-{GRPC_TRANSPORTS[0]}", self.commands.epp(GRPC_TRANSPORTS[0]))

    def _filled(self, command: str) -> list[str]:
        ports = self.commands.ports.services[PEER]
        filled = command.format(
            grpc_port=ports.epp_grpc, health_port=ports.epp_health, metrics_port=ports.epp_metrics,
            manifests=self.commands.manifests(PEER), upstreams=",".join(map(str, self.commands.ports.upstreams)),
        )  # fmt: skip
        return shlex.split(filled)

    def _launch(self, name: str, command: Sequence[str]) -> None:
        log = self._logs.enter_context((self.commands.folder / f"{name}.log").open("wb"))
        self._running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)

    def _answers(self, row: str) -> bool:
        for name, process in self._running.items():
            if process.poll() is not None:
                log = (self.commands.folder / f"{name}.log").read_text(errors="replace")
                raise SystemExit(f"{name} ended with {process.returncode}:\n{log[-3000:]}")
        body = json.dumps({"model": "bench", "messages": [{"role": "user", "content": "ready?"}]}).encode()
        request = urllib.request.Request(
            f"http://{HOST}:{self.commands.ports.gateways[row]}/v1/chat/completions", body,
            {"content-type": "application/json"},
        )  # fmt: skip
        with suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def pid(self, name: str) -> int:
        """Of a process that was started under this name; a KeyError names one that was not."""
        return self._running[name].pid

    def stop(self) -> None:
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._logs.close()


def wait_until(claim: Callable[[], bool], failure: str) -> None:
    """Poll a claim until it holds."""
    deadline = time.monotonic() + READY_SECONDS
    while not claim():
        if time.monotonic() > deadline:
            raise SystemExit(failure)
        time.sleep(0.1)


@contextmanager
def running(commands: Commands, rows: Sequence[str], picker_command: str | None) -> Iterator[Stack]:
    stack = Stack(commands, rows)
    try:
        stack.start(picker_command)
        yield stack
    finally:
        stack.stop()


def measure(stack: Stack, row: str, column: Column, seconds: float, extra: Sequence[str]) -> Cell:
    """One cell of one round."""
    picker = picker_of(row)
    names = {"envoy": f"envoy-{row}", **({} if row == PLAIN else {"epp": f"epp-{picker}"}),
             **({"bbr": f"bbr-{picker}"} if way_of(row) == EXT_PROC else {})}  # fmt: skip
    pids = {part: stack.pid(name) for part, name in names.items()}
    scrapes = scrape_count(stack, picker) if row != PLAIN else 0.0
    before = {part: usage.cpu_seconds(pid) for part, pid in pids.items()}
    load = [
        stack.commands.python, "-m", "tests.bench.gateway.load", "--port", str(stack.commands.ports.gateways[row]),
        "--seconds", str(max(seconds, column.at_least_seconds)), *column.arguments, *extra,
    ]  # fmt: skip
    answer = subprocess.run(load, check=True, capture_output=True, cwd=ROOT)
    found = json.loads(answer.stdout)
    requests = max(1, int(found["requests"]))
    cpu = {part: (usage.cpu_seconds(pid) - before[part]) * 1000 / requests for part, pid in pids.items()}
    memory = {part: usage.resident_bytes(pid) / KIB / KIB for part, pid in pids.items()}
    return Cell(
        rate=requests / float(found["seconds"]), p50_ms=found["p50_ms"], p99_ms=found["p99_ms"],
        envoy_ms=cpu["envoy"], epp_ms=cpu.get("epp", 0.0), bbr_ms=cpu.get("bbr", 0.0),
        envoy_mib=memory["envoy"], epp_mib=memory.get("epp", 0.0), bbr_mib=memory.get("bbr", 0.0),
        errors=sum(found["errors"].values()),
        scrapes=(scrape_count(stack, picker) - scrapes) / requests if row != PLAIN else 0.0,
    )  # fmt: skip


def scrape_count(stack: Stack, picker: str = GRPC_TRANSPORTS[0]) -> float:
    """How many scrapes the EPP has made; nothing for another picker."""
    url = f"http://{HOST}:{stack.commands.ports.services[picker].epp_metrics}/metrics"
    with suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=2) as answer:
        lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines
                   if line.startswith("pointsman_epp_scrapes_total{"))  # fmt: skip
    return 0.0


@dataclass(frozen=True, slots=True)
class Idle:
    """The EPP with nobody asking."""

    cores: float
    scrapes_per_second: float


def measure_idle(stack: Stack, seconds: float) -> Idle:
    """What the EPP costs at rest."""
    pid = stack.pid(f"epp-{GRPC_TRANSPORTS[0]}")
    time.sleep(SLOWING_SECONDS)
    scrapes, before, started = scrape_count(stack), usage.cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    cores = (usage.cpu_seconds(pid) - before) / (time.monotonic() - started)
    return Idle(cores, (scrape_count(stack) - scrapes) / (time.monotonic() - started))


def measure_scrape(commands: Commands, seconds: float) -> float:
    """CPU milliseconds of one scrape: an EPP that does nothing else, at a fixed interval and at rest."""
    found = []
    for interval in ("50ms", "1s"):
        stack = Stack(replace(commands, scrape_interval=interval), ())
        try:
            stack.start_scraping()
            wait_until(partial(scrape_count, stack), "the picker scrapes nothing")  # type: ignore[arg-type]
            found.append(measure_idle(stack, seconds))
        finally:
            stack.stop()
    busy, calm = found
    return (busy.cores - calm.cores) * 1000 / (busy.scrapes_per_second - calm.scrapes_per_second)


def host() -> dict[str, object]:
    """What ran it, in words that say nothing about whose it is."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    return {"cores": os.cpu_count(), "processor": model, "python": platform.python_version(),
            "load average": round(os.getloadavg()[0], 2)}  # fmt: skip


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench-gateway", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="per cell and round (default 3)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--columns", nargs="+", type=int, metavar="N", help="only these columns, counted from 1")
    parser.add_argument("--picker-command", help="another ext_proc server, for a row of its own")
    parser.add_argument("--usage-extraction", choices=("on", "off"), default="on")
    parser.add_argument("--same-prompt", action="store_true", help="every request has the same prompt")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Enter, after measuring")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, name: str = "gateway") -> None:
    """Measure and print; `name` is that of the JSON."""
    given = arguments(argv)
    rows = [row for row in given.rows if row != DUPLEX_PEER or given.picker_command]
    columns = [COLUMNS[number - 1] for number in given.columns] if given.columns else COLUMNS[:USUAL_COLUMNS]
    folder = FOLDER / "gateway"
    ports = Ports.spread(free_ports(Ports.COUNT))
    commands = Commands(
        ports, folder, ROOT / ".venv" / "bin", ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable,
        usage_extraction=given.usage_extraction == "on",
    )  # fmt: skip
    commands.write_manifests()
    extra = ["--same-prompt"] if given.same_prompt else []
    cells: dict[str, dict[str, list[Cell]]] = {column.name: {row: [] for row in rows} for column in columns}
    is_ours = any(picker_of(row) == GRPC_TRANSPORTS[0] for row in rows if row != PLAIN)
    scrape_ms = measure_scrape(commands, given.seconds) if is_ours else 0.0
    with running(commands, rows, given.picker_command) as stack:
        described = host()
        idle = measure_idle(stack, given.seconds) if is_ours else None
        for round_ in range(given.rounds):
            for column in columns:
                for row in rows:
                    cells[column.name][row].append(measure(stack, row, column, given.seconds, extra))
                    time.sleep(SETTLE_SECONDS)
                print(f"round {round_ + 1}: {column.name}", file=sys.stderr, flush=True)
        if given.keep:
            input("still running; Enter ends it")
    results = {column: {row: median(found) for row, found in each.items()} for column, each in cells.items()}
    print(f"{datetime.datetime.now(datetime.UTC).date()}, {described}")
    print(table(results))
    if idle is not None:
        print(f"EPP at rest, {len(ports.upstreams)} endpoints: {idle.cores:.3f} cores, "
              f"{idle.scrapes_per_second:.1f} scrapes/s; one scrape {scrape_ms:.2f} ms")  # fmt: skip
        print("\n".join(scraping(results, scrape_ms)))
    print("\n".join([*ratios(results), *goals(results, scrape_ms)]))
    report = {
        "date": str(datetime.datetime.now(datetime.UTC).date()),
        "host": described,
        "idle": asdict(idle) if idle else None,
        "scrape ms": scrape_ms,
        "cells": {column: {row: asdict(cell) for row, cell in each.items()} for column, each in results.items()},
        "rounds": {column: {row: [asdict(cell) for cell in found] for row, found in each.items()}
                   for column, each in cells.items()},
    }  # fmt: skip
    (FOLDER / f"{name}.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
