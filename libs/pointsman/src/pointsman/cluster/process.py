"""A server becomes a process of the plan. Pure."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pointsman.cluster.programs import Role
from pointsman.cluster.servers import Server
from processes.plan import Process

PROFILE = "demo"  # latencies that a person can watch


def process_of(server: Server, port: int, number: int, binaries: Path) -> Process:
    """The process of one port of a server; `number` is its own among all of the stack."""
    is_echo = server.role is Role.ECHO
    name = re.sub(r"[^A-Za-z0-9_-]", "-", server.pod.name)
    return Process(
        name=f"{name}-{number}",
        arguments=_echo(server, port) if is_echo else _simulator(server, port, number, binaries),
        ready=f"http://{server.address}:{port}/{'' if is_echo else 'health'}",
        environment={key: _one_line(value) for key, value in server.environment.items()},
    )


def _echo(server: Server, port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "pointsman.cluster.echo", server.address, str(port))


def _simulator(server: Server, port: int, number: int, binaries: Path) -> tuple[str, ...]:
    """The container's own arguments first, so that those of this host win."""
    profile = () if _names(server.arguments, "profile") else ("--profile", PROFILE)
    return (
        str(binaries / "model-sim"), "serve", *map(_one_line, server.arguments), *profile,
        "--host", server.address, "--port", str(port), "--seed", str(number), "--enable-admin",
    )  # fmt: skip


def _names(arguments: Sequence[str], option: str) -> bool:
    return any(word.partition("=")[0] == f"--{option}" for word in arguments)


def _one_line(text: str) -> str:
    """The runner's file has a line for each process."""
    return " ".join(text.splitlines())
