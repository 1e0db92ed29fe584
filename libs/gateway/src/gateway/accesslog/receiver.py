"""The gRPC server of Envoy's access log. It knows grpc.aio and no service.

Entries come in batches on streams that last as long as the proxy's workers; the receiver passes each batch on as one
tuple. A stream is never answered; on a drain it ends with OK, so that the proxy opens it anew elsewhere. Loss is part
of the protocol: users of entries must live without some.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from gateway.accesslog.codec import Codec
from gateway.accesslog.entries import LogEntry
from gateway.service import logs
from gateway.wire.protocol import ACCESS_LOG_SERVICE

log = logs.get(__name__)


class AccessLogReceiver:
    """The servicer. `is_attached`: a proxy's stream is open."""

    def __init__(self, codec: Codec, receive: Callable[[tuple[LogEntry, ...]], None]) -> None:
        self._codec = codec
        self._receive = receive
        self._streams: set[asyncio.Task[Any]] = set()
        self._is_draining = False
        self._is_idle = asyncio.Event()

    @property
    def is_attached(self) -> bool:
        return bool(self._streams)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register under Envoy's service name."""
        stream = grpc.stream_unary_rpc_method_handler(self._stream)
        handler = grpc.method_handlers_generic_handler(ACCESS_LOG_SERVICE, {"StreamAccessLogs": stream})
        server.add_generic_rpc_handlers([handler])

    async def drain(self) -> None:
        """End the streams; the proxy opens new ones elsewhere."""
        self._is_draining = True
        for task in list(self._streams):
            task.cancel()
        if self._streams:
            await self._is_idle.wait()

    async def _stream(self, _messages: object, context: Any) -> bytes:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a servicer runs in a task")
        self._streams.add(task)
        log.debug("access log stream opened", streams=len(self._streams))
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                self._receive(self._codec.decode(message))
        except asyncio.CancelledError:
            if not self._is_draining:
                raise
        finally:
            self._streams.discard(task)
            if not self._streams:
                self._is_idle.set()
        return self._codec.response
