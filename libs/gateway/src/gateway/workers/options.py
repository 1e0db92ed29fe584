"""Flags of a service that can run as several workers, and how a worker is started by the same command line."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.service.worker import Worker
from gateway.wire.ports import MOST_WORKERS, WORKER_STRIDE

_INDEX, _FOLDER = "--worker", "--worker-dir"
LARGEST_PORT: Final = 65_535


def add(parser: argparse.ArgumentParser) -> None:
    """`--workers N`; what a worker gets besides is not for people."""
    flag = parser.add_argument
    flag("--workers", type=count, default=1, metavar="N",
         help=f"processes that serve, worker n at each port plus {WORKER_STRIDE}·n (default: 1)")  # fmt: skip
    flag(_INDEX, dest="worker_index", type=int, help=argparse.SUPPRESS)
    flag(_FOLDER, dest="worker_dir", type=Path, help=argparse.SUPPRESS)


def count(text: str) -> int:
    """A number of workers."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_WORKERS} workers, got {text!r}")
    return int(text)


def check(parser: argparse.ArgumentParser, given: argparse.Namespace, ports: Sequence[int]) -> None:
    """Refuse ports that leave no room for all workers."""
    if given.workers > 1 and max(ports) + WORKER_STRIDE * (given.workers - 1) > LARGEST_PORT:
        parser.error(f"--workers {given.workers}: the last one's ports would be above {LARGEST_PORT}")


def worker(given: argparse.Namespace) -> Worker | None:
    """Which worker this process is; None where it is the only one."""
    if given.worker_index is None:
        return None
    return Worker(given.worker_dir, given.worker_index, given.workers)


def named(service: str, given: argparse.Namespace) -> str:
    """The service's name in logs, which all workers write to one place."""
    return service if given.worker_index is None else f"{service}-{given.worker_index}"


def supervises(given: argparse.Namespace) -> bool:
    """Whether this process only starts and watches workers."""
    return given.workers > 1 and given.worker_index is None


def leash(worker: Worker | None) -> int | None:
    """The pipe that ends with the supervisor: a worker's standard input."""
    return None if worker is None else sys.stdin.fileno()


def command(module: str, argv: Sequence[str]) -> Callable[[Worker], Sequence[str]]:
    """How to start a worker: this service's module with the same arguments, and those that make it that worker."""

    def started(worker: Worker) -> Sequence[str]:
        own = (_INDEX, str(worker.index), _FOLDER, str(worker.folder))
        return (sys.executable, "-m", module, *argv, *own)

    return started
