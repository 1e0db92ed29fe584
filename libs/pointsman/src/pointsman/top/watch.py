"""Asks a running picker again and again, and shows what it says. I/O; a terminal gets its screen back at the end.

Where standard output is no terminal, or `--once` is given, one table is printed.
"""

import argparse
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from typing import Any, Final

from pointsman.commands.command import UNABLE, Command, add_json, add_run, seconds_within
from pointsman.commands.picker import NoPickerError, picker_url, state
from pointsman.terminal import LiveScreen
from pointsman.top.table import Screen, table

_UNBOUNDED: Final = 1_000_000  # lines and columns of what is no terminal


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)
    parser.add_argument("--url", help="of the endpoint picker's operators' port; default: this host's")
    parser.add_argument(
        "--interval", type=seconds_within(0.1, 3600), default=1.0, metavar="SECONDS", help="(default: 1)"
    )
    parser.add_argument("--once", action="store_true", help="print it once")


def _run(given: argparse.Namespace) -> int:
    url = picker_url(given)
    try:
        first = _state(url)
    except NoPickerError as error:
        print(f"pointsman: {error}", file=sys.stderr)
        return UNABLE
    if given.json:
        print(json.dumps(first, indent=2))
    elif given.once or not sys.stdout.isatty():
        print("\n".join(table(first["pools"], first["queues"], Screen(_UNBOUNDED, _UNBOUNDED, has_colours=False))))
    else:
        _watch(url, first, given.interval)
    return 0


def _watch(url: str, found: Any, interval: float) -> None:
    has_colours = "NO_COLOR" not in os.environ
    complaint = ""
    with suppress(KeyboardInterrupt), LiveScreen() as live:
        while True:
            size = shutil.get_terminal_size()
            screen = Screen(size.columns, size.lines - 2, has_colours)
            head = f"{url}  {time.strftime('%H:%M:%S')}  Ctrl-C ends  {complaint}"[: size.columns]
            live.show([head, *table(found["pools"], found["queues"], screen)])
            time.sleep(interval)  # between two looks, as --interval says
            try:
                found, complaint = _state(url), ""
            except NoPickerError as error:  # it may come back
                complaint = str(error)


def _state(url: str) -> Any:
    return {name: state(url, name) for name in ("pools", "queues")}


TOP: Final = Command(
    "top", "pools and endpoints of a running stack, live",
    "  pointsman top\n  pointsman top --url http://10.0.0.9:9090 --interval 5\n  pointsman top --json\n", _add, _run,
)  # fmt: skip
