"""`pointsman up` as a person runs it, for the tests of this folder: model servers that exist, and what was printed."""

import random
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from processes.plan import HOST, Ports
from tests.conftest import free_ports, ports_of_this_process
from tests.e2e.stack import wait_until


@contextmanager
def simulators(binaries: Path, *models: str) -> Iterator[list[int]]:
    """A simulated model server of each model, ready; their ports."""
    ports = free_ports(len(models))
    with ExitStack() as stack:
        for model, port in zip(models, ports, strict=True):
            stack.enter_context(simulator(binaries, model, port))
        yield [*ports]


@contextmanager
def simulator(binaries: Path, model: str, port: int) -> Iterator[None]:
    """One model server."""
    command = [str(binaries / "model-sim"), "serve", model, "--host", HOST, "--port", str(port), "--profile", "instant"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: listens(port), 60)
            yield
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether anything does."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def free_offset() -> int:
    """A port offset with which every port of a stack is free, and no other process of the tests' own."""
    own, stack = ports_of_this_process(), sorted(Ports().named().values())
    draw = random.Random()
    while True:
        offset = draw.randrange(own.start - stack[0], own.stop - stack[-1])
        if not any(listens(port + offset) for port in stack):
            return offset


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Iterator["Up"]:
    """`pointsman up` in a folder; stopped as Ctrl-C does."""
    with (
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        up = Up(process, folder / "errors")
        try:
            yield up
        finally:
            process.terminate()
            process.wait(60)


class Up:
    """A running command."""

    def __init__(self, process: "subprocess.Popen[str]", errors: Path) -> None:
        self.process = process
        self._errors = errors

    def announced(self) -> str:
        """What it printed up to the line that says how to stop."""
        assert self.process.stdout is not None
        printed = []
        for line in self.process.stdout:
            printed.append(line)
            if line.startswith("  stop "):
                return "".join(printed)
        raise AssertionError("".join(printed) + self.errors)

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return self._errors.read_text()


def url_in(text: str) -> str:
    """The gateway's address in an announcement."""
    found = re.search(r"http://localhost:\d+", text)
    assert found, text
    return found.group()
