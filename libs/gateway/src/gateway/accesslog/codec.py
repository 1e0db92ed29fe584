"""Protobuf to access-log entries: the only module of the access-log path that knows protobuf. No sockets.

A message that cannot be read gives no entries: the log is no place to end a proxy's stream for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from gateway import protos
from gateway.accesslog.entries import LogEntry


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
