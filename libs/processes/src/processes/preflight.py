"""Everything that can be known to fail before a single process starts, each as one clear line."""

import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from processes.plan import HOST, Settings, render_arguments


class StartError(Exception):
    """The stack cannot start; the message says why in one line for each reason."""


def check(settings: Settings) -> None:
    """Raise `StartError` unless every tool is there, every port is free and the manifests render."""
    reasons = [*missing_tools(settings), *busy_ports(settings.ports.named())]
    if reasons:
        raise StartError("\n".join(reasons))
    _run((str(settings.layout.binaries / "epp"), "--check-config", str(settings.epp_config)))
    settings.layout.xds.mkdir(parents=True, exist_ok=True)
    _run(render_arguments(settings))


def missing_tools(settings: Settings) -> Iterator[str]:
    """Name each binary that is not there."""
    layout = settings.layout
    for binary in (layout.envoy, *(layout.binaries / name for name in ("epp", "bbr", "controlplane", "model-sim"))):
        if not binary.exists():
            yield f"missing tool: {_relative(binary, layout.root)} (run 'make setup')"


def busy_ports(ports: Mapping[str, int]) -> Iterator[str]:
    """Name each port that somebody else listens on."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                yield f"port {port} ({name}) is not free: {error.strerror or error}"


def _run(arguments: tuple[str, ...]) -> None:
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
    if result.returncode:
        said = (result.stderr.strip() or result.stdout.strip()) or f"exit status {result.returncode}"
        raise StartError(said)


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
