"""Protobuf to access-log entries: the only module of the access-log path that knows protobuf. No sockets.

A message that cannot be read gives no entries: the log is no place to end a proxy's stream for.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError

from gateway import protos
from gateway.accesslog.entries import LogEntry

NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Codec:
    """Holds the generated classes; `namespaces` are the dynamic metadata that entries keep."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        pool = protos.load_pool()
        self._message = protos.message_class(pool, "envoy.service.accesslog.v3.StreamAccessLogsMessage")
        response = protos.message_class(pool, "envoy.service.accesslog.v3.StreamAccessLogsResponse")
        self.response: bytes = response().SerializeToString()
        self._namespaces = frozenset(namespaces)

    def decode(self, data: bytes) -> tuple[LogEntry, ...]:
        """The HTTP entries of one message; none for a message that cannot be read."""
        try:
            message = self._message.FromString(data)
        except DecodeError:
            return ()
        return tuple(self._entry(entry) for entry in message.http_logs.log_entry)

    def _entry(self, entry: Any) -> LogEntry:
        """Each access to a message makes an object, so what is mostly absent is asked for first."""
        common, response = entry.common_properties, entry.response
        tags = common.custom_tags
        return LogEntry(
            is_final=not common.intermediate_log_entry,
            upstream=_address(common.upstream_remote_address.socket_address),
            status=response.response_code.value or None,
            flags=_flags(common.response_flags) if common.HasField("response_flags") else (),
            attempts=common.upstream_request_attempt_count,
            duration_seconds=_seconds(common.duration) if common.HasField("duration") else None,
            tags=dict(tags) if tags else NO_TAGS,
            metadata=self._metadata(common.metadata.filter_metadata),
            response_bytes=response.response_body_bytes,
        )

    def _metadata(self, found: Any) -> Mapping[str, Mapping[str, object]]:
        wanted = self._namespaces
        return {
            namespace: {key: _value(value) for key, value in struct.fields.items()}
            for namespace, struct in found.items()
            if namespace in wanted
        }


def _address(socket: Any) -> str:
    host = socket.address
    if not host:
        return ""
    return f"[{host}]:{socket.port_value}" if ":" in host else f"{host}:{socket.port_value}"


def _flags(flags: Any) -> tuple[str, ...]:
    return tuple(field.name for field, _ in flags.ListFields())


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def _value(value: Any) -> object:
    """A text or a number; None for anything else."""
    found: object = value.string_value or value.number_value
    if found:
        return found
    kind = value.WhichOneof("kind")
    return getattr(value, kind) if kind in ("string_value", "number_value") else None
