"""`pointsman compare`: half of a route's requests by round robin, both halves measured, and the route as before. I/O.

The split is a manifest in the folder that the stack lends out: it goes when this command ends, also when it is killed.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from gateway.kube.objects import ObjectName
from pointsman import lease
from pointsman.cluster import files
from pointsman.commands.command import UNABLE, Command, add_json, add_run, seconds_within
from pointsman.compare.halves import UnsplittableError
from pointsman.compare.log import Measuring, Tail
from pointsman.compare.measures import Comparison
from pointsman.compare.splitting import Splitting
from pointsman.compare.stack import NoStackError, RunningStack, running_stack
from pointsman.compare.table import as_tree, lines
from pointsman.run import folder_of
from pointsman.terminal import LiveScreen

USUAL_SECONDS: Final = 600.0
LAST_WRITE_SECONDS: Final = 1.0  # until Envoy has written what has ended


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)
    span = seconds_within(0.5, 86_400)
    parser.add_argument("--route", required=True, metavar="NAME", help="an HTTPRoute: NAME, or NAMESPACE/NAME")
    parser.add_argument("--for", dest="seconds", type=span, default=USUAL_SECONDS, metavar="SECONDS",
                        help="how long at most (default: 600)")  # fmt: skip
    parser.add_argument("--interval", type=span, default=1.0, metavar="SECONDS", help="between looks (default: 1)")


def _run(given: argparse.Namespace) -> int:
    run = folder_of(given)
    try:
        stack = running_stack(run)
        with _interruptible(), lease.held(run) as folder:
            return _compare(given, stack, folder)
    except lease.HeldError:
        return _unable(f"another `pointsman compare` runs in {run}: end it first")
    except (NoStackError, UnsplittableError, files.UnreadableError) as error:
        return _unable(str(error))


def _unable(why: str) -> int:
    print(f"pointsman: {why}", file=sys.stderr)
    return UNABLE


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the body as Ctrl-C does."""
    former = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _compare(given: argparse.Namespace, stack: RunningStack, folder: Path) -> int:
    splitting = Splitting(given.route, stack.folders)
    splitting.check()
    route = splitting.route.meta.id
    measuring = Measuring(Tail(stack.access_log), splitting.route)
    is_live = sys.stdout.isatty() and not given.json
    began = time.monotonic()
    splitting.write(folder)
    try:
        with LiveScreen() if is_live else nullcontext() as screen:
            while (passed := time.monotonic() - began) < given.seconds:
                time.sleep(min(given.interval, given.seconds - passed))
                splitting.follow(folder)
                measuring.follow(splitting.route)
                _show(given, measuring.look(), route, time.monotonic() - began, screen)
    except KeyboardInterrupt:
        pass
    finally:
        splitting.remove(folder)
    time.sleep(LAST_WRITE_SECONDS)
    _report(given, measuring.look(), route, time.monotonic() - began)
    return 0


def _show(
    given: argparse.Namespace, found: Comparison, route: ObjectName, seconds: float, screen: LiveScreen | None
) -> None:
    if given.json:
        print(json.dumps(as_tree(found, str(route), seconds)), flush=True)
    elif screen is not None:
        head = f"{route}  {seconds:.0f} of {given.seconds:.0f} s  half by round robin; Ctrl-C ends it and takes it back"
        screen.show([head, "", *lines(found)])


def _report(given: argparse.Namespace, found: Comparison, route: ObjectName, seconds: float) -> None:
    if given.json:
        print(json.dumps({**as_tree(found, str(route), seconds), "ended": True}), flush=True)
    else:
        print("\n".join([f"{route}, {seconds:.0f} s; all requests ask the picker again", "", *lines(found)]))


COMPARE: Final = Command(
    "compare", "round robin and the picker side by side, on a route's live traffic",
    "  pointsman compare --route llm-route\n  pointsman compare --route default/llm-route --for 300 --json\n",
    _add, _run,
)  # fmt: skip
