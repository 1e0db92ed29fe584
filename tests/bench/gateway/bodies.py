"""`python -m tests.bench.gateway.bodies`: what a large request body costs each way to ask the picker.

One request at a time through each row's Envoy, with a body of text and one of token ids. Prints, for each, the median
of its rounds: time to the answer, and Envoy's own CPU time, which is also how long one of its workers did nothing else.
"""

import argparse
import http.client
import json
import statistics
import sys
import time
from dataclasses import dataclass

from gateway.wire.protocol import BODY_LIMIT_BYTES
from tests.bench.gateway import usage
from tests.bench.gateway.__main__ import FOLDER, ROOT, Stack, running
from tests.bench.gateway.setting import EXT_PROC, HOST, HTTP, HTTP_BY_MODEL, Commands, Ports
from tests.conftest import free_ports

MEGABYTE = 1_000_000
ROWS = (EXT_PROC, HTTP, HTTP_BY_MODEL)
SETTLE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Taken:
    """One request."""

    seconds: float
    envoy_seconds: float
    status: int


def text(size: int) -> bytes:
    """A prompt of words."""
    words = "all work and no play makes a dull day; "
    return json.dumps({"model": "bench", "prompt": words * (size // len(words)), "max_tokens": 1}).encode()


def token_ids(size: int) -> bytes:
    """A prompt as the numbers that a tokenizer would give, seven bytes each."""
    ids = [10_000 + number % 90_000 for number in range(size // 7)]
    return json.dumps({"model": "bench", "prompt": ids, "max_tokens": 1}).encode()


def ask(stack: Stack, row: str, body: bytes) -> Taken:
    """Send one."""
    pid = stack.pid(f"envoy-{row}")
    before, started = usage.cpu_seconds(pid), time.monotonic()
    connection = http.client.HTTPConnection(HOST, stack.commands.ports.gateways[row], timeout=120)
    connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    seconds = time.monotonic() - started
    connection.close()
    time.sleep(SETTLE_SECONDS)
    return Taken(seconds, usage.cpu_seconds(pid) - before, answer.status)


def line(name: str, row: str, found: list[Taken]) -> str:
    """One row of the table."""
    seconds = statistics.median(taken.seconds for taken in found)
    envoy = statistics.median(taken.envoy_seconds for taken in found)
    statuses = ", ".join(str(status) for status in sorted({taken.status for taken in found}))
    return f"| {name} | {row} | {statuses} | {seconds:.2f} | {envoy:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser("bodies", description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 8, 50])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    commands = Commands(
        Ports.spread(free_ports(Ports.COUNT)), FOLDER / "bodies", ROOT / ".venv" / "bin",
        ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable, usage_extraction=True,
        rendering=("--body-limit", str(BODY_LIMIT_BYTES)),
    )  # fmt: skip
    commands.write_manifests()
    print("| body | way | status | seconds | Envoy CPU s |\n|---|---|---|---:|---:|", flush=True)
    with running(commands, ROWS, None) as stack:
        for megabytes in given.megabytes:
            for kind in (text, token_ids):
                body = kind(megabytes * MEGABYTE)
                for row in ROWS:
                    found = [ask(stack, row, body) for _ in range(given.rounds)]
                    print(line(f"{megabytes} MB {kind.__name__.replace('_', ' ')}", row, found), flush=True)


if __name__ == "__main__":
    main()
