"""What both ext_proc services need beside the servicer: ports, TLS, and the order of a start and of a drain.

serve ext_proc and health ─▶ stopping ─▶ NOT_SERVING, until a proxy has seen it ─▶ drain ─▶ close
"""

import asyncio
import contextlib
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.extproc.certificates import Tls, credentials
from gateway.extproc.server import MESSAGE_LIMIT_BYTES, Servicer, limited, serving
from gateway.service import logs
from gateway.service.health import Health

log = logs.get(__name__)


class Drainable(Servicer, Protocol):
    async def drain(self) -> None:
        """End what can end; return when nothing is left."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where to listen, and how large a message may be. Without `tls` ext_proc is served in the clear."""

    host: str
    grpc_port: int
    health_port: int
    tls: Tls | None = None
    drain_seconds: float = 30.0
    receive_limit: int = MESSAGE_LIMIT_BYTES
    send_limit: int = MESSAGE_LIMIT_BYTES


async def serve(stopping: asyncio.Event, listeners: Listeners, health: Health, servicers: Sequence[Drainable]) -> None:
    """Serve until `stopping` is set, then drain."""
    secrets = credentials(listeners.tls, datetime.datetime.now(datetime.UTC))
    async with (
        serving(
            (*servicers, health),
            address(listeners.host, listeners.grpc_port),
            secrets,
            limited(listeners.receive_limit, listeners.send_limit),
        ) as port,
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
