"""Protobuf to events and replies to protobuf: the only module of the ext_proc path that knows protobuf.

Both functions work on bytes: gRPC (de)serialises nothing itself. What is always the same is serialised once.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from gateway import protos
from gateway.extproc.protocol.messages import (
    NO_METADATA,
    NO_MUTATION,
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
    MoreTime,
    Mutation,
    Reply,
    TrailersReceived,
    TrailersReply,
)

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
_MODES = {
    (request.value, response.value, is_early): Modes(request, response, is_early)
    for request in BodyMode
    for response in BodyMode
    for is_early in (False, True)
}
# Body replies that only change headers, as a router's, are few and the same again: so many are kept as bytes.
KNOWN_REPLIES = 512
KNOWN_REPLY_BYTES = 4096
_SEND = 1  # HeaderSendMode.SEND
_OVERWRITE = 2  # HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


class UnknownMessageError(ValueError):
    """A message that is no ProcessingRequest, or one of a kind that this version does not know."""


class Codec:
    """Holds the generated classes; construct one per process."""

    def __init__(self) -> None:
        pool = protos.load_pool()
        self._request = protos.message_class(pool, "envoy.service.ext_proc.v3.ProcessingRequest")
        self._response = protos.message_class(pool, "envoy.service.ext_proc.v3.ProcessingResponse")
        self._plain = {
            (kind, direction): self._serialise(kind(direction))
            for kind in (HeadersReply, BodyReply, TrailersReply)
            for direction in Direction
        }
        self._known: dict[tuple[object, ...], bytes] = {}

    def decode(self, data: bytes) -> Event:
        """One ProcessingRequest as an event."""
        try:
            message = self._request.FromString(data)
        except DecodeError as error:
            raise UnknownMessageError(f"not a ProcessingRequest: {error}") from None
        kind = message.WhichOneof("request")
        match kind:
            case "request_headers":
                return _headers_received(REQUEST, message, message.request_headers)
            case "request_body":
                body = message.request_body
                return BodyReceived(REQUEST, body.body, body.end_of_stream)
            case "response_headers":
                return _headers_received(RESPONSE, message, message.response_headers)
            case "response_body":
                body = message.response_body
                return BodyReceived(RESPONSE, body.body, body.end_of_stream)
            case "request_trailers":
                return TrailersReceived(REQUEST)
            case "response_trailers":
                return TrailersReceived(RESPONSE)
        raise UnknownMessageError("a ProcessingRequest without a message of a known kind")

    def encode(self, reply: Reply) -> bytes:
        """One reply as a ProcessingResponse."""
        match reply:
            case HeadersReply(direction, mutation, None) if mutation is NO_MUTATION:
                return self._plain[HeadersReply, direction]
            case BodyReply(direction, mutation, None) if mutation is NO_MUTATION:
                return self._plain[BodyReply, direction]
            case BodyReply(direction, mutation, None) if not mutation.metadata:
                return self._encode_again(reply, direction, mutation)
            case TrailersReply(direction):
                return self._plain[TrailersReply, direction]
        return self._serialise(reply)

    def _encode_again(self, reply: Reply, direction: Direction, mutation: Mutation) -> bytes:
        key = (direction, mutation.set_headers, mutation.remove_headers, mutation.clear_route_cache)
        encoded = self._known.get(key)
        if encoded is None:
            encoded = self._serialise(reply)
            if len(self._known) >= KNOWN_REPLIES:
                self._known.clear()
            if len(encoded) <= KNOWN_REPLY_BYTES:
                self._known[key] = encoded
        return encoded

    def _serialise(self, reply: Reply) -> bytes:
        message = self._response()
        match reply:
            case HeadersReply(direction, mutation, body_mode):
                target = message.request_headers if direction is REQUEST else message.response_headers
                target.SetInParent()
                _mutate(message, target, mutation)
                if body_mode is not None:
                    _request_body(message.mode_override, direction, body_mode)
            case BodyReply(direction, mutation, body):
                target = message.request_body if direction is REQUEST else message.response_body
                target.SetInParent()
                _mutate(message, target, mutation)
                _replace_body(target, body)
            case ChunkReply(direction, data, end_of_stream):
                target = message.request_body if direction is REQUEST else message.response_body
                streamed = target.response.body_mutation.streamed_response
                streamed.SetInParent()
                streamed.body, streamed.end_of_stream = data, end_of_stream
            case TrailersReply(direction):
                (message.request_trailers if direction is REQUEST else message.response_trailers).SetInParent()
            case ImmediateReply():
                _immediate(message.immediate_response, reply)
            case MoreTime(seconds):
                message.override_message_timeout.FromNanoseconds(round(seconds * 1e9))
        serialised: bytes = message.SerializeToString()
        return serialised


def _headers_received(direction: Direction, message: Any, received: Any) -> HeadersReceived:
    return HeadersReceived(
        direction,
        _headers(received.headers.headers),
        received.end_of_stream,
        metadata=_metadata(message.metadata_context) if message.HasField("metadata_context") else NO_METADATA,
        modes=_modes(message.protocol_config) if message.HasField("protocol_config") else None,
        observe_only=message.observability_mode,
    )


def _headers(found: Any) -> Mapping[str, str]:
    """Each access to a field makes an object, so what is rare is looked for afterwards."""
    headers = {header.key: header.raw_value.decode("latin-1") for header in found}
    if len(headers) == len(found) and "" not in headers.values():
        return headers
    headers = {}
    for header in found:
        name, raw = header.key, header.raw_value
        value = raw.decode("latin-1") if raw else header.value
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _modes(config: Any) -> Modes:
    request, response = config.request_body_mode, config.response_body_mode
    found = _MODES.get((request, response, config.send_body_without_waiting_for_header_response))
    if found is None:
        raise UnknownMessageError(f"body modes {request} and {response}: one is unknown")
    return found


def _metadata(context: Any) -> Metadata:
    return {
        namespace: {key: _plain_value(value) for key, value in struct.fields.items()}
        for namespace, struct in context.filter_metadata.items()
    }


def _plain_value(value: Any) -> object:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return tuple(_plain_value(item) for item in value.list_value.values)
        case "struct_value":
            return {key: _plain_value(item) for key, item in value.struct_value.fields.items()}
    return None


def _request_body(override: Any, direction: Direction, mode: BodyMode) -> None:
    """A processing mode replaces the whole one: what is not named is not sent."""
    override.SetInParent()
    if direction is REQUEST:
        override.request_body_mode = mode.value
        override.response_header_mode = _SEND
    else:
        override.response_body_mode = mode.value


def _mutate(message: Any, target: Any, mutation: Mutation) -> None:
    if mutation is NO_MUTATION:
        return
    common = target.response
    common.clear_route_cache = mutation.clear_route_cache
    _mutate_headers(common.header_mutation, mutation.set_headers, mutation.remove_headers)
    for namespace, values in mutation.metadata.items():
        _write_struct(message.dynamic_metadata.fields[namespace].struct_value, values)


def _mutate_headers(target: Any, headers: tuple[tuple[str, str], ...], removed: tuple[str, ...] = ()) -> None:
    for name, value in headers:
        option = target.set_headers.add()
        option.header.key, option.header.raw_value = name, value.encode()
        option.append_action = _OVERWRITE
    target.remove_headers.extend(removed)


def _write_struct(target: Any, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        target.fields[key].string_value = str(value)


def _replace_body(target: Any, body: bytes | None) -> None:
    if body is None:
        return
    if body:
        target.response.body_mutation.body = body
    else:
        target.response.body_mutation.clear_body = True


def _immediate(target: Any, reply: ImmediateReply) -> None:
    target.status.code = reply.status
    _mutate_headers(target.headers, reply.headers)
    target.body, target.details = reply.body, reply.details
