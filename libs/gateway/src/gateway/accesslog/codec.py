"""Protobuf to access-log entries: the only module of the access-log path that knows protobuf. No sockets.

A message that cannot be read gives no entries: the log is no place to end a proxy's stream for. Each access to a
message makes an object, so only what is wanted is looked up, by its name.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError

from gateway import protos
from gateway.accesslog.entries import LogEntry

NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Codec:
    """Holds the generated classes.

    Entries keep the dynamic metadata of `wanted`, names of values by namespace, and the custom tags of `tags`.
    """

    def __init__(self, wanted: Mapping[str, Sequence[str]], tags: Sequence[str]) -> None:
        pool = protos.load_pool()
        self._message = protos.message_class(pool, "envoy.service.accesslog.v3.StreamAccessLogsMessage")
        response = protos.message_class(pool, "envoy.service.accesslog.v3.StreamAccessLogsResponse")
        self.response: bytes = response().SerializeToString()
        self._wanted = tuple(wanted.items())
        self._tags = tuple(tags)

    def decode(self, data: bytes) -> tuple[LogEntry, ...]:
        """The HTTP entries of one message; none for a message that cannot be read."""
        try:
            message = self._message.FromString(data)
        except DecodeError:
            return ()
        return tuple(self._entry(entry) for entry in message.http_logs.log_entry)

    def _entry(self, entry: Any) -> LogEntry:
        common, response = entry.common_properties, entry.response
        get = common.custom_tags.get
        return LogEntry(
            not common.intermediate_log_entry,
            _address(common.upstream_remote_address.socket_address),
            response.response_code.value or None,
            _flags(common.response_flags) if common.HasField("response_flags") else (),
            common.upstream_request_attempt_count,
            _seconds(common.duration) if common.HasField("duration") else None,
            {name: value for name in self._tags if (value := get(name))} or NO_TAGS,
            self._metadata(common.metadata.filter_metadata),
            response.response_body_bytes,
        )

    def _metadata(self, found: Any) -> Mapping[str, Mapping[str, object]]:
        metadata: dict[str, Mapping[str, object]] = {}
        for namespace, names in self._wanted:
            struct = found.get(namespace)
            if struct is not None:
                get = struct.fields.get
                metadata[namespace] = {name: _value(value) for name in names if (value := get(name)) is not None}
        return metadata


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
