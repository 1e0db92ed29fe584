"""Asks a running picker again and again, and shows what it says. I/O; a terminal gets its screen back at the end.

Where standard output is no terminal, or `--once` is given, one table is printed. A library for terminal tables would
bring three packages for what six escape sequences do.
"""

import argparse
import http.client
import json
import os
import shutil
import sys
import time
import urllib.request
from typing import Any, Final

from gateway.service import access
from pointsman.commands.command import UNABLE, Command, add_json, add_run, picker_url, request_with_token
from pointsman.top.table import Screen, table

ANSWER_SECONDS: Final = 5.0
_ENTER: Final = "\x1b[?1049h\x1b[?25l"  # another screen, without a cursor
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"
_UNBOUNDED: Final = 1_000_000  # lines and columns of what is no terminal


class _SilentError(Exception):
    """Nobody answers, or somebody who is no picker."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)
    parser.add_argument("--url", help="of the endpoint picker's operators' port; default: this host's")
    parser.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="(default: 1)")
    parser.add_argument("--once", action="store_true", help="print it once")


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.1 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"expected 0.1 to 3600 seconds, got {text!r}")
    return found


def _run(given: argparse.Namespace) -> int:
    url = picker_url(given)
    try:
        first = _asked(url)
    except _SilentError as error:
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
    sys.stdout.write(_ENTER)
    try:
        while True:
            size = shutil.get_terminal_size()
            screen = Screen(size.columns, size.lines - 2, has_colours)
            head = f"{url}  {time.strftime('%H:%M:%S')}  Ctrl-C ends  {complaint}"[: size.columns]
            lines = [head, *table(found["pools"], found["queues"], screen)]
            sys.stdout.write(_HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _REST_OF_SCREEN)
            sys.stdout.flush()
            time.sleep(interval)
            try:
                found, complaint = _asked(url), ""
            except _SilentError as error:  # it may come back
                complaint = str(error)
    except KeyboardInterrupt:
        return
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _asked(url: str) -> Any:
    return {"pools": _part(url, "pools"), "queues": _part(url, "queues")}


def _part(url: str, name: str) -> Any:
    try:
        with urllib.request.urlopen(request_with_token(f"{url}/debug/{name}"), timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            return json.load(answer)[name]
    except urllib.error.HTTPError as error:
        remedy = f"give its token in {access.VARIABLE}" if error.code == 401 else "is it the picker's operators' port?"
        raise _SilentError(f"{url} answers {error.code}: {remedy}") from None
    except OSError as error:
        why = getattr(getattr(error, "reason", error), "strerror", None) or getattr(error, "reason", error)
        raise _SilentError(f"{url} does not answer ({why}): is a stack running there? else give --url") from None
    except (ValueError, KeyError, TypeError, http.client.HTTPException):
        raise _SilentError(f"{url} is no picker's operators' port: give that with --url") from None


TOP: Final = Command(
    "top", "pools and endpoints of a running stack, live",
    "  pointsman top\n  pointsman top --url http://10.0.0.9:9090 --interval 5\n  pointsman top --json\n", _add, _run,
)  # fmt: skip
