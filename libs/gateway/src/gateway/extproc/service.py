"""What both ext_proc services need beside the servicer: ports, TLS, and the order of a start and of a drain.

serve ext_proc and health ─▶ stopping ─▶ NOT_SERVING, until a proxy has seen it ─▶ drain ─▶ close
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio

from gateway.extproc.server import Servicer, serving
from gateway.service import logs
from gateway.service.health import Health

log = logs.get(__name__)


class Drainable(Servicer, Protocol):
    async def drain(self) -> None:
        """End what can end; return when nothing is left."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where to listen. `cert_path` is a folder with `tls.crt` and `tls.key`; None serves in the clear."""

    host: str
    grpc_port: int
    health_port: int
    cert_path: Path | None = None
    drain_seconds: float = 20.0


class CertificateError(ValueError):
    """The certificate for TLS cannot be read."""


def credentials(cert_path: Path | None) -> grpc.ServerCredentials | None:
    """TLS from a folder in the layout of a Kubernetes TLS secret."""
    if cert_path is None:
        return None
    try:
        pair = ((cert_path / "tls.key").read_bytes(), (cert_path / "tls.crt").read_bytes())
    except OSError as error:
        raise CertificateError(f"--cert-path {cert_path}: {error.strerror}: {error.filename}") from None
    return grpc.ssl_server_credentials([pair])


async def serve(stopping: asyncio.Event, listeners: Listeners, health: Health, servicers: Sequence[Drainable]) -> None:
    """Serve until `stopping` is set, then drain."""
    secrets = credentials(listeners.cert_path)
    async with (
        serving((*servicers, health), address(listeners.host, listeners.grpc_port), secrets) as port,
        serving((health,), address(listeners.host, listeners.health_port)),
    ):
        log.info("serving ext_proc", port=port, tls=secrets is not None)
        await stopping.wait()
        log.info("draining")
        health.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(listeners.drain_seconds):
                await health.announced()
                await asyncio.gather(*(servicer.drain() for servicer in servicers))
                log.info("drained")


def address(host: str, port: int) -> str:
    """`host:port`, with brackets where IPv6 needs them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
