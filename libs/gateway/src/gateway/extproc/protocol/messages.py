"""The messages of Envoy and the replies to them, as plain frozen values; protobuf stays in `codec`.

Header names are lower-case as Envoy sends them, repeated headers are joined with a comma, values are decoded as
Latin-1 so that no byte is lost or refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from gateway.wire.errors import Rejection

Headers = tuple[tuple[str, str], ...]
Metadata = Mapping[str, Mapping[str, object]]  # namespace → key → plain value
NO_METADATA: Metadata = MappingProxyType({})


def _no_metadata() -> Metadata:
    return NO_METADATA


class Direction(Enum):
    REQUEST = "request"
    RESPONSE = "response"


class BodyMode(Enum):
    """How the proxy hands a body over (`ProcessingMode.BodySendMode`, same numbers)."""

    NONE = 0
    STREAMED = 1
    BUFFERED = 2
    BUFFERED_PARTIAL = 3
    FULL_DUPLEX_STREAMED = 4


@dataclass(frozen=True, slots=True)
class Modes:
    """How the proxy is configured, from its first message (`ProtocolConfiguration`)."""

    request_body: BodyMode
    response_body: BodyMode
    body_comes_early: bool = False  # send_body_without_waiting_for_header_response


@dataclass(frozen=True, slots=True)
class HeadersReceived:
    direction: Direction
    headers: Mapping[str, str]
    end_of_stream: bool
    metadata: Metadata = field(default_factory=_no_metadata)
    modes: Modes | None = None
    observe_only: bool = False


@dataclass(frozen=True, slots=True)
class BodyReceived:
    direction: Direction
    data: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class TrailersReceived:
    direction: Direction


Event = HeadersReceived | BodyReceived | TrailersReceived


@dataclass(frozen=True, slots=True)
class Mutation:
    """What changes on the way. `set_headers` overwrite; `metadata` becomes dynamic metadata of the request."""

    set_headers: Headers = ()
    remove_headers: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=_no_metadata)
    clear_route_cache: bool = False


NO_MUTATION = Mutation()


@dataclass(frozen=True, slots=True)
class HeadersReply:
    """With `body_mode` the proxy is asked to hand the body of this direction over so; one that may not be asked does as
    it is configured."""

    direction: Direction
    mutation: Mutation = NO_MUTATION
    body_mode: BodyMode | None = None


@dataclass(frozen=True, slots=True)
class BodyReply:
    """Answers a buffered or streamed body message. `body` None leaves it as it is."""

    direction: Direction
    mutation: Mutation = NO_MUTATION
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChunkReply:
    """A piece of body that goes on, in full duplex mode, where nothing goes on by itself."""

    direction: Direction
    data: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class TrailersReply:
    direction: Direction


@dataclass(frozen=True, slots=True)
class ImmediateReply:
    """The proxy answers the client with this, and the request goes no further."""

    status: int
    headers: Headers
    body: bytes
    details: str = ""


@dataclass(frozen=True, slots=True)
class MoreTime:
    """The reply to the latest message takes up to `seconds` from now. The proxy takes this once for each message."""

    seconds: float


Reply = HeadersReply | BodyReply | ChunkReply | TrailersReply | ImmediateReply | MoreTime


NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def refuse(rejection: Rejection, request: Mapping[str, str] = NO_HEADERS) -> ImmediateReply:
    """A rejection as the proxy passes it on, in the shape that clients of the request's API expect."""
    headers, body = rejection.headers_for(request), rejection.body_for(request)
    return ImmediateReply(rejection.status, headers, body, details=rejection.code)
