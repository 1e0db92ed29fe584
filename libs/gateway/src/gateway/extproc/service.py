"""What both ext_proc services need beside the service itself: ports, TLS, and the order of a start and of a drain.

serve ext_proc and health ─▶ stopping ─▶ NOT_SERVING, until a proxy has seen it ─▶ drain ─▶ close
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from gateway.extproc.certificates import Tls, credentials
from gateway.rpc.calls import Service
from gateway.rpc.health import Health
from gateway.rpc.limits import Settings
from gateway.rpc.server import Serving, Transport, default_transport, serving
from gateway.service import clock, logs

log = logs.get(__name__)


class Drainable(Service, Protocol):
    async def drain(self) -> None:
        """End what can end; return when nothing is left."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where and how to listen. Without `tls` ext_proc is served in the clear; a Unix socket always is."""

    host: str
    grpc_port: int
    health_port: int | None  # None: health is on the ext_proc port alone
    tls: Tls | None = None
    drain_seconds: float = 30.0
    settings: Settings = field(default_factory=Settings)
    transport: Transport = field(default_factory=default_transport)
    grpc_socket: Path | None = None

    @property
    def facts(self) -> Mapping[str, object]:
        """What an operator may want to know of them."""
        return {"grpc_transport": self.transport.value, "tls": self.tls is not None}


async def serve(
    stopping: asyncio.Event, listeners: Listeners, health: Health, services: Sequence[Drainable], opened: asyncio.Event
) -> None:
    """Serve until `stopping` is set, then drain. `opened` is set once every listener takes connections."""
    clear = Serving(None, listeners.transport, listeners.settings)
    secured = replace(clear, credentials=credentials(listeners.tls, clock.now()))
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        port = await enter(serving((*services, health), address(listeners.host, listeners.grpc_port), secured))
        if listeners.health_port is not None:
            await enter(serving((health,), address(listeners.host, listeners.health_port), clear))
        if listeners.grpc_socket is not None:
            await enter(serving((*services, health), f"unix:{listeners.grpc_socket}", clear))
        opened.set()
        log.info(
            "serving ext_proc", port=port, tls=secured.credentials is not None, transport=listeners.transport.value
        )
        await stopping.wait()
        log.info("draining")
        health.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(listeners.drain_seconds):
                await health.announced()
                await asyncio.gather(*(service.drain() for service in services))
                log.info("drained")


def address(host: str, port: int) -> str:
    """`host:port`, with brackets where IPv6 needs them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
