"""gRPC health (`grpc.health.v1`) for the names that Envoy, kubelets and the reference's charts ask about.

`liveness` serves as long as the process does; the others follow `is_ready`. Unknown names are SERVICE_UNKNOWN as the
reference answers, NOT_FOUND for nobody. A shell on grpc.aio; Watch looks again every WATCH_SECONDS.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from typing import Any

import grpc
import grpc.aio

from gateway.service import clock
from gateway.service.clock import Clock
from gateway.wire import protos
from gateway.wire.protocol import HEALTH_LIVENESS, HEALTH_SERVICES

SERVICE = "grpc.health.v1.Health"
# How soon a watcher hears of a change; watchers are few and the check is one call.
WATCH_SECONDS = 0.25
# A proxy asks every second or so: one that asked within this still does, and hears the news within that.
ASKED_SECONDS = 5.0
ANNOUNCE_SECONDS = 2.0


class Serving(IntEnum):
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class Health:
    """The servicer. `close` makes everything but liveness NOT_SERVING, for a drain.

    Use one per process, on every gRPC port: `announced` then knows whether somebody who asks has heard of the drain.
    """

    def __init__(self, is_ready: Callable[[], bool], now: Clock = clock.monotonic) -> None:
        pool = protos.load_pool()
        self._request = protos.message_class(pool, "grpc.health.v1.HealthCheckRequest")
        self._response = protos.message_class(pool, "grpc.health.v1.HealthCheckResponse")
        self._list_response = protos.message_class(pool, "grpc.health.v1.HealthListResponse")
        self._list_request = protos.message_class(pool, "grpc.health.v1.HealthListRequest")
        self._is_ready = is_ready
        self._clock = now
        self._is_closed = False
        self._asked_at = float("-inf")
        self._told = asyncio.Event()

    def close(self) -> None:
        """Say NOT_SERVING from now on."""
        self._is_closed = True

    async def announced(self) -> None:
        """Return when a proxy that checks this process has been told NOT_SERVING; at once when none checks."""
        if self._clock() - self._asked_at > ASKED_SECONDS:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._told.wait()

    def status(self, service: str) -> Serving:
        """What one service name is told."""
        if service == HEALTH_LIVENESS:
            return Serving.SERVING
        if service not in HEALTH_SERVICES:
            return Serving.SERVICE_UNKNOWN
        return Serving.SERVING if self._is_ready() and not self._is_closed else Serving.NOT_SERVING

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register under gRPC's own name."""
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, self._request.FromString, _bytes),
            "List": grpc.unary_unary_rpc_method_handler(self._list, self._list_request.FromString, _bytes),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, self._request.FromString, _bytes),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])

    async def _check(self, request: Any, _context: object) -> Any:
        self._asked_at = self._clock()
        if self._is_closed:
            self._told.set()
        return self._response(status=self.status(request.service))

    async def _list(self, _request: object, _context: object) -> Any:
        names = (HEALTH_LIVENESS, *HEALTH_SERVICES)
        return self._list_response(statuses={name: self._response(status=self.status(name)) for name in names})

    async def _watch(self, request: Any, _context: object) -> AsyncIterator[Any]:
        said = None
        while True:
            status = self.status(request.service)
            if status is not said:
                yield self._response(status=status)
            said = status
            await asyncio.sleep(WATCH_SECONDS)


def _bytes(message: Any) -> bytes:
    serialised: bytes = message.SerializeToString()
    return serialised
