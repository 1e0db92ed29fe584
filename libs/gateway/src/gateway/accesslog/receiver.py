"""Envoy's gRPC access log (`envoy.service.accesslog.v3`) as plain values, and the gRPC shell that receives it.

Protobuf stays in here. Entries come in batches on streams that last as long as the proxy's workers; the receiver gets
each batch as one tuple. A stream is never answered; on a drain it is ended with OK, so that the proxy opens it anew
elsewhere. Loss is part of the protocol: whoever uses entries must live without some.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gateway.service import logs
from gateway.wire import protos

log = logs.get(__name__)

SERVICE = "envoy.service.accesslog.v3.AccessLogService"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What is read of one entry. `metadata` holds the wanted namespaces only; 0 attempts were never counted."""

    is_final: bool
    upstream: str  # address:port, empty when no upstream was reached
    status: int | None
    flags: tuple[str, ...]
    attempts: int
    duration_seconds: float | None
    tags: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, object]]
    response_bytes: int = 0  # of the body, so far


class Codec:
    """Holds the generated classes; `namespaces` are the dynamic metadata that entries keep."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        pool = protos.load_pool()
        self._message = protos.message_class(pool, "envoy.service.accesslog.v3.StreamAccessLogsMessage")
        response = protos.message_class(pool, "envoy.service.accesslog.v3.StreamAccessLogsResponse")
        self.response: bytes = response().SerializeToString()
        self._namespaces = tuple(namespaces)

    def decode(self, data: bytes) -> tuple[LogEntry, ...]:
        """The HTTP entries of one message; none for a message that cannot be read."""
        try:
            message = self._message.FromString(data)
        except DecodeError:
            return ()
        return tuple(self._entry(entry) for entry in message.http_logs.log_entry)

    def _entry(self, entry: Any) -> LogEntry:
        common = entry.common_properties
        code = entry.response.response_code.value
        return LogEntry(
            is_final=not common.intermediate_log_entry,
            upstream=_address(common.upstream_remote_address.socket_address),
            status=code or None,
            flags=tuple(field.name for field, _ in common.response_flags.ListFields()),
            attempts=common.upstream_request_attempt_count,
            duration_seconds=_seconds(common.duration) if common.HasField("duration") else None,
            tags=dict(common.custom_tags),
            metadata=self._metadata(common.metadata.filter_metadata),
            response_bytes=entry.response.response_body_bytes,
        )

    def _metadata(self, found: Any) -> Mapping[str, Mapping[str, object]]:
        return {
            namespace: {key: _value(value) for key, value in found[namespace].fields.items()}
            for namespace in self._namespaces
            if namespace in found
        }


class AccessLogReceiver:
    """The servicer. `is_attached` says whether a proxy is sending."""

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
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": stream})])

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


def _address(socket: Any) -> str:
    if not socket.address:
        return ""
    host = f"[{socket.address}]" if ":" in socket.address else socket.address
    return f"{host}:{socket.port_value}"


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def _value(value: Any) -> object:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
    return None
