"""xDS messages as bytes, and resources from their JSON form. The only module here that knows protobuf.

The core of each resource is written by own definitions (`proto/`). Extensions, which are the `@type` objects inside,
travel as `xds.type.v3.TypedStruct`: as they are. Envoy reads them by its own definitions, as it does in a file, so that
a filter or policy of any version needs no definition here.

Extensions, routes and parts of routes are serialised one by one and kept: thousands of routes share what their pools
and the gateway's rules give them, and an edit changes few routes.
"""

from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import orjson
from google.protobuf import any_pb2, json_format, struct_pb2

from gateway import protos
from gateway.xds.messages import Dialect, Request, Resource, Response

TYPE_KEY: Final = "@type"
# Some 3 kB each; more than this, four to a rule with a path of its own, are serialised anew at each edit.
KEPT_PARTS: Final = 16384
_URL: Final = "type.googleapis.com/"
_TYPED_STRUCT: Final = f"{_URL}xds.type.v3.TypedStruct"
_SERVICE: Final = "envoy.service.discovery.v3"
# Fields that are declared as bytes, in whatever message, and what they or their items are.
_PARTS: Final = MappingProxyType({
    "routes": "envoy.config.route.v3.Route",
    "route": "envoy.config.route.v3.RouteAction",
    "headers": "envoy.config.route.v3.HeaderMatcher",
})  # fmt: skip


class UnknownFieldError(ValueError):
    """A resource has a field that `proto/` does not define, or a value that does not fit."""


class Codec:
    """Build one per process."""

    def __init__(self) -> None:
        self._pool = protos.load_pool()
        self._struct = self._class("xds.type.v3.TypedStruct")
        self._requests = {
            Dialect.STATE: self._class(f"{_SERVICE}.DiscoveryRequest"),
            Dialect.DELTA: self._class(f"{_SERVICE}.DeltaDiscoveryRequest"),
        }
        self._state_response = self._class(f"{_SERVICE}.DiscoveryResponse")
        self._delta_response = self._class(f"{_SERVICE}.DeltaDiscoveryResponse")
        self._extension = lru_cache(KEPT_PARTS)(self._new_extension)
        self._part = lru_cache(KEPT_PARTS)(self._new_part)

    def resource(self, name: str, version: str, body: Mapping[str, object]) -> Resource:
        """A resource from the JSON form of its message, with its type as `@type`. Raises `UnknownFieldError`."""
        type_url = str(body[TYPE_KEY])
        type_name = type_url.removeprefix(_URL)
        fields = {key: item for key, item in body.items() if key != TYPE_KEY}
        try:
            content = self._serialised(type_name, fields)
        except json_format.ParseError as error:
            raise UnknownFieldError(f"{type_name.rpartition('.')[2]} {name}: {error}") from error
        return Resource(name, version, _packed(type_url, content))

    def decode(self, dialect: Dialect, data: bytes) -> Request:
        """A proxy's message."""
        message = self._requests[dialect].FromString(data)
        error = (message.error_detail.message or "refused") if message.HasField("error_detail") else ""
        if dialect is Dialect.STATE:
            return Request(
                type_name=message.type_url,
                node=message.node.id,
                cluster=message.node.cluster,
                nonce=message.response_nonce,
                error=error,
                names=tuple(message.resource_names),
            )
        return Request(
            type_name=message.type_url,
            node=message.node.id,
            cluster=message.node.cluster,
            nonce=message.response_nonce,
            error=error,
            names=tuple(message.resource_names_subscribe),
            unwanted=tuple(message.resource_names_unsubscribe),
            versions=dict(message.initial_resource_versions),
        )

    def encode(self, dialect: Dialect, response: Response) -> bytes:
        """A message for a proxy."""
        if dialect is Dialect.STATE:
            message = self._state_response(
                version_info=response.version,
                type_url=response.type_name,
                nonce=response.nonce,
                resources=[item.content for item in response.resources],
            )
        else:
            message = self._delta_response(
                system_version_info=response.version,
                type_url=response.type_name,
                nonce=response.nonce,
                removed_resources=response.removed,
            )
            for item in response.resources:
                message.resources.add(name=item.name, version=item.version, resource=item.content)
        serialised: bytes = message.SerializeToString()
        return serialised

    def _serialised(self, type_name: str, fields: Mapping[str, object]) -> bytes:
        message = self._class(type_name)()
        json_format.ParseDict(self._with_parts(fields), message, descriptor_pool=self._pool)
        content: bytes = message.SerializeToString(deterministic=True)
        return content

    def _with_parts(self, value: object) -> Any:
        """A value in which extensions and parts are bytes, written as JSON writes them: in base64."""
        if isinstance(value, dict):
            if TYPE_KEY in value:
                return self._extension(orjson.dumps(value))
            return {key: self._field(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._with_parts(item) for item in value]
        return value

    def _field(self, key: str, value: object) -> Any:
        part = _PARTS.get(key)
        if part is None:
            return self._with_parts(value)
        if isinstance(value, list):
            return [self._part(part, orjson.dumps(item)) for item in value]
        return self._part(part, orjson.dumps(value))

    def _new_part(self, type_name: str, fields: bytes) -> str:
        return b64encode(self._serialised(type_name, orjson.loads(fields))).decode()

    def _new_extension(self, typed: bytes) -> str:
        fields = orjson.loads(typed)
        type_url = fields.pop(TYPE_KEY)
        struct = json_format.ParseDict(fields, struct_pb2.Struct()).SerializeToString(deterministic=True)
        opaque = self._struct(type_url=type_url, value=struct).SerializeToString()
        return b64encode(_packed(_TYPED_STRUCT, opaque)).decode()

    def _class(self, name: str) -> Any:
        return protos.message_class(self._pool, name)


def _packed(type_url: str, content: bytes) -> bytes:
    packed: bytes = any_pb2.Any(type_url=type_url, value=content).SerializeToString()
    return packed
