"""Checks before the start: free ports, a valid configuration, manifests that render. Each problem is one line.

honcho starts nothing until they pass, and without rendered files Envoy would refuse to start.
"""

import socket
import subprocess
from collections.abc import Iterator, Mapping

from processes.plan import HOST, Settings, render_arguments


class StartError(Exception):
    """The stack cannot start; the message says why in one line for each reason."""


def check(settings: Settings) -> None:
    """Raise `StartError` unless every port is free and the manifests render."""
    others = {f"listener {written}": port for written, port in settings.listeners if port != settings.ports.gateway}
    busy = list(busy_ports({**settings.ports.named(), **settings.ports.of_workers(settings.workers), **others}))
    if busy:
        raise StartError("\n".join(busy))
    _run((str(settings.layout.binaries / "epp"), "--check-config", str(settings.epp_config)))
    settings.layout.xds.mkdir(parents=True, exist_ok=True)
    _run(render_arguments(settings))


def busy_ports(ports: Mapping[str, int]) -> Iterator[str]:
    """Name each port that another process listens on."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                why = error.strerror or error
                yield f"port {port} ({name}) is not free: {why}: end what listens there, or move all by --port-offset N"


def _run(arguments: tuple[str, ...]) -> None:
    try:
        result = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
    except OSError as error:
        raise StartError(f"{arguments[0]}: {error.strerror} (run 'make setup')") from error
    if result.returncode:
        raise StartError(result.stderr.strip() or result.stdout.strip() or f"exit status {result.returncode}")
