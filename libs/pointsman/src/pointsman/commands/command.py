"""What a command is: its words on the command line, and what it does. A new one is one more value in `catalogue`."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from pointsman import installation
from processes.plan import Ports

UNABLE: Final = 2  # exit status: the command could not do its work


@dataclass(frozen=True, slots=True)
class Command:
    """`add` declares the arguments, `run` returns the exit status. `examples` are shown by `--help`."""

    name: str
    summary: str
    examples: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


@dataclass(frozen=True, slots=True)
class Program:
    """A command that is a program of its own, with a command line of its own."""

    name: str
    summary: str
    program: str


def add_run(parser: argparse.ArgumentParser) -> None:
    """Which of several stacks of this host."""
    parser.add_argument("--dir", type=Path, help="folder of the run (default: .pointsman)")
    parser.add_argument("--port-offset", type=int, default=0, metavar="N", help="all ports by so many")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs: JSON on standard output")


def seconds_within(least: float, most: float) -> Callable[[str], float]:
    """Reads an argument that is a number of seconds between these."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"expected {least:g} to {most:g} seconds, got {text!r}")
        return found

    return read


def ports_of(given: argparse.Namespace) -> Ports:
    """The ports of the stack that is meant."""
    return Ports().moved(given.port_offset)


def become(program: str, *words: str) -> NoReturn:
    """Go on as one of the services' own commands."""
    path = str(installation.binaries() / program)
    os.execv(path, [path, *words])  # noqa: S606 - our own command
