"""`make bench-page`: what the picker's page costs the picker while somebody looks at it.

Prints a table and writes build/bench/page.json. A pool of 500 endpoints, and as many new decisions in every second as a
page shows: how many more there are does not matter to it. The reader is a process of its own; this process's CPU is
that of the picker, with the page and without.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import monotonic, process_time, time

import uvloop

from epp.app.page import DECISIONS_LIMIT, Page
from epp.domain import Outcome, Pick, Request
from epp.picking.picker import Picker
from epp.testing import NOBODY
from gateway.service import admin
from gateway.service.metrics import Registry
from tests.bench.epp import HEADERS, POOL, bodies, picker
from tests.conftest import free_ports

ENDPOINTS = (5, 500)
PAGES = (0, 1, 8)
GOAL = 0.02  # of a core, with one page
RESULT = Path("build/bench/page.json")
READER = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as stream:
    while stream.read1(1 << 16):
        pass
"""


@contextmanager
def readers(url: str, count: int) -> Iterator[None]:
    """Open pages, each in a process of its own."""
    running = [subprocess.Popen([sys.executable, "-c", READER, url]) for _ in range(count)]
    try:
        yield
    finally:
        for each in running:
            each.terminate()
            each.wait()


async def decide(made: Picker, requests: Sequence[bytes]) -> None:
    """As many decisions a second as a page shows."""
    number = 0
    while True:
        for _ in range(DECISIONS_LIMIT):
            number += 1
            request = Request(POOL, "POST", "/v1/chat/completions", HEADERS, requests[number % len(requests)])
            found = made.submit(request, NOBODY, monotonic())
            if isinstance(found, Pick):
                made.settle(found.id, Outcome.ENDED, monotonic())
        await asyncio.sleep(1)


async def measure(endpoints: int, seconds: float) -> list[dict[str, float]]:
    """The share of a core for each number of pages."""
    made, (port,) = picker(endpoints), free_ports(1)
    page = Page(made, monotonic, time)
    application = admin.application(Registry(), lambda: True, page.routes(), {}, None)
    found: list[dict[str, float]] = []
    async with admin.serving(application, "127.0.0.1", port), asyncio.TaskGroup() as group:
        deciding = group.create_task(decide(made, bodies(1000, 64, Random(3))))
        for pages in PAGES:
            with readers(f"http://127.0.0.1:{port}/debug/stream", pages):
                while page._streams != pages:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(2)
                before, began = process_time(), monotonic()
                await asyncio.sleep(seconds)
                found.append({"pages": pages, "cores": (process_time() - before) / (monotonic() - began)})
        deciding.cancel()
    alone = found[0]["cores"]
    return [{"endpoints": endpoints, **each, "page_cores": each["cores"] - alone} for each in found]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0, help="per row")
    given = parser.parse_args()
    rows = [row for count in ENDPOINTS for row in uvloop.run(measure(count, given.seconds))]
    print(f"{'endpoints':>10} {'pages open':>11} {'cores':>8} {'of them pages':>14}")
    for row in rows:
        print(f"{row['endpoints']:>10} {row['pages']:>11} {row['cores']:>8.4f} {row['page_cores']:>14.4f}")
    one = next(row["page_cores"] for row in rows if row["endpoints"] == ENDPOINTS[-1] and row["pages"] == 1)
    print(f"\none page, {ENDPOINTS[-1]} endpoints: {one:.2%} of a core; goal: {GOAL:.0%}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
