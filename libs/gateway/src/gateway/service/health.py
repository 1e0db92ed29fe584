"""gRPC health (`grpc.health.v1`) under the names that Envoy, kubelets and the reference's charts use.

`liveness` serves as long as the process does; the others follow `is_ready`. Unknown names are SERVICE_UNKNOWN, as in
the reference. A shell on grpc.aio; Watch looks again every WATCH_SECONDS.

Not grpcio-health-checking (1.85): its asyncio servicer has no List, answers unknown names with NOT_FOUND, turns
`liveness` to NOT_SERVING with the rest on a shutdown, keeps a status that must be set where ours is a question to the
service, and cannot say whether a proxy has seen NOT_SERVING. It would replace half of this module.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from typing import Any

import grpc
import grpc.aio

from gateway import protos
from gateway.service import clock
from gateway.service.clock import Clock
from gateway.wire.protocol import HEALTH_LIVENESS, HEALTH_SERVICE, HEALTH_SERVICES

# How soon a watcher gets a change; watchers are few and the check is one call.
WATCH_SECONDS = 0.25
# A proxy checks every second or so: one whose last check is this recent will check again, within ANNOUNCE_SECONDS.
RECENT_SECONDS = 5.0
ANNOUNCE_SECONDS = 2.0


class Serving(IntEnum):
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class Health:
    """The servicer. `close` makes everything but liveness NOT_SERVING, for a drain.

    Use one per process, on every gRPC port: `announced` then counts the checks on all of them.
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
        self._checked_at = float("-inf")
        self._has_announced = asyncio.Event()

    def close(self) -> None:
        """Answer NOT_SERVING from now on."""
        self._is_closed = True

    async def announced(self) -> None:
        """Return when a proxy that checks this process has got NOT_SERVING; at once when none checks."""
        if self._clock() - self._checked_at > RECENT_SECONDS:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._has_announced.wait()

    def status(self, service: str) -> Serving:
        """The status of one service name."""
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
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(HEALTH_SERVICE, handlers)])

    async def _check(self, request: Any, _context: object) -> Any:
        self._checked_at = self._clock()
        if self._is_closed:
            self._has_announced.set()
        return self._response(status=self.status(request.service))

    async def _list(self, _request: object, _context: object) -> Any:
        names = (HEALTH_LIVENESS, *HEALTH_SERVICES)
        return self._list_response(statuses={name: self._response(status=self.status(name)) for name in names})

    async def _watch(self, request: Any, _context: object) -> AsyncIterator[Any]:
        latest = None
        while True:
            status = self.status(request.service)
            if status is not latest:
                yield self._response(status=status)
            latest = status
            await asyncio.sleep(WATCH_SECONDS)


def _bytes(message: Any) -> bytes:
    serialised: bytes = message.SerializeToString()
    return serialised
