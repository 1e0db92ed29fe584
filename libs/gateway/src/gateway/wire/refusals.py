"""Why a request is refused: one function for each reason, with its status, code and wording. Pure.

The body-based router and both transports of the endpoint picker use these, so that the same bad request gets the same
answer wherever it is found. A message may name what a client sent by its kind, never by its content.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.models import MODEL_LIMIT
from gateway.wire.protocol import CONTENT_ENCODING

MODEL: Final = "model"
# When it is worth another try where no server is ready: a restart takes longer, and a failed check less.
RECOVERY_SECONDS: Final = 5.0
_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
)


def kind_of(value: object) -> str:
    """The kind of a JSON value, for messages."""
    return _KINDS.get(type(value), "a number")


# Bodies


def invalid_json(error: Exception) -> Rejection:
    """The body must be JSON and is not."""
    return Rejection(400, ErrorCode.INVALID_JSON, f"the request body is not valid JSON: {error}")


def not_an_object(document: object) -> Rejection:
    """The body is JSON of another kind."""
    return invalid(f"the request body must be a JSON object, got {kind_of(document)}")


def model_missing() -> Rejection:
    """The API needs a model and the body names none."""
    return invalid("'model' is missing", MODEL)


def model_not_a_string(model: object) -> Rejection:
    """The field is there and holds no string."""
    return invalid(f"'model' must be a string, got {kind_of(model)}", MODEL)


def not_a_name(param: str = MODEL) -> Rejection:
    """The field or header holds a string that no model can have as its name."""
    return invalid(f"'{param}' must be a name of at most {MODEL_LIMIT} printable characters", param)


def invalid(message: str, param: str | None = None) -> Rejection:
    """Another thing is wrong with the request; `param` is the field."""
    return Rejection(400, ErrorCode.INVALID_REQUEST, message, param)


def invalid_api_key() -> Rejection:
    """Nobody has the key that the request brings, or it brings none, or two."""
    return Rejection(401, ErrorCode.INVALID_API_KEY, "The request brings no key that is valid here.")


def no_tenant() -> Rejection:
    """The client is known, and no tenant has it."""
    return Rejection(403, ErrorCode.ACCESS_DENIED, "The client belongs to no tenant.")


def tenants_unreadable() -> Rejection:
    """The operator's list of tenants has a mistake, and no earlier one is known."""
    return Rejection(500, ErrorCode.INTERNAL, "The list of tenants cannot be read.")


def tenants_not_read() -> Rejection:
    """The process has just begun, and does not know yet which tenants there are."""
    words = "the router starts, and does not know yet who may pass"
    return Rejection(503, ErrorCode.PICKER_UNAVAILABLE, words, retry_after=1.0)


def unknown_model(model: str) -> Rejection:
    """No route serves it, or its caller may not know of it: in the words of the proxy, which answers the first."""
    return Rejection(404, ErrorCode.MODEL_NOT_FOUND, f"The model '{model}' does not exist.", MODEL)


def model_not_found() -> Rejection:
    """No pool of the route serves a model of that name."""
    return Rejection(404, ErrorCode.MODEL_NOT_FOUND, "no such model is served here", MODEL)


def stored_not_found() -> Rejection:
    """No server is known to keep a response or a conversation of that id."""
    return Rejection(404, ErrorCode.STORED_NOT_FOUND, "no response or conversation of that id is known here", "id")


def too_large(limit: int) -> Rejection:
    """The body has more bytes than the limit."""
    return Rejection(413, ErrorCode.REQUEST_TOO_LARGE, f"the request body is larger than {limit} bytes")


def not_whole() -> Rejection:
    """Only the start of the body is known, and all of it must be judged."""
    return Rejection(413, ErrorCode.REQUEST_TOO_LARGE, "the request body is larger than the gateway can judge whole")


def too_much_structure() -> Rejection:
    """The body has more objects, lists and strings than any prompt."""
    return Rejection(413, ErrorCode.REQUEST_TOO_LARGE, "the request body has too many objects, lists and strings")


def unsupported_encoding(encoding: str) -> Rejection:
    """The body is compressed in a way that is not read here."""
    words = f"content-encoding {encoding[:30]!r} is not supported; gzip, deflate and identity are"
    return Rejection(415, ErrorCode.INVALID_REQUEST, words, CONTENT_ENCODING)


def model_is_compressed(encoding: str) -> Rejection:
    """The proxy itself looks for the model in the body, which it cannot read."""
    words = (
        f"the model of this body cannot be read through its content-encoding {encoding[:30]!r}; send it uncompressed"
    )
    return Rejection(415, ErrorCode.INVALID_REQUEST, words, CONTENT_ENCODING)


def not_decodable(reason: str) -> Rejection:
    """The body is not what its content-encoding says."""
    return invalid(f"the body is not of its content-encoding: {reason}", CONTENT_ENCODING)


def refused_by_guard(reason: str) -> Rejection:
    """The operator's guard found something; `reason` is the rule's name."""
    return Rejection(400, ErrorCode.REQUEST_REFUSED, f"the request was refused by the gateway's guard: {reason}")


def quota_used_up(limit: int, measure: str, window: float | None, wait: float) -> Rejection:
    """A quota has nothing left. `window` is in seconds, None for a month of the calendar."""
    span = "month" if window is None else f"{window:g} s"
    words = f"the quota of {limit} {measure} per {span} is used up; try again in {math.ceil(wait)} s"
    return Rejection(429, ErrorCode.RATE_LIMITED, words, retry_after=wait)


# Pools and endpoints


def breaks_servers(servers: int, seconds: float) -> Rejection:
    """Model servers broke off over this body, one after the other."""
    words = f"{servers} model servers broke off over this very request; it is stopped for a while"
    return Rejection(503, ErrorCode.UPSTREAM_UNAVAILABLE, words, retry_after=seconds)


def no_ready_endpoint(message: str) -> Rejection:
    """No endpoint could serve the request."""
    return Rejection(
        503, ErrorCode.NO_READY_ENDPOINT, message, retry_after=RECOVERY_SECONDS, dropped="rejected-no-endpoints"
    )


def saturated(message: str, retry_after: float = 1.0) -> Rejection:
    """The pool is full and the request may be shed."""
    return Rejection(429, ErrorCode.POOL_SATURATED, message, retry_after=retry_after, dropped="rejected-saturated")


def queue_full(retry_after: float) -> Rejection:
    """The pool is full, and no more may wait for it."""
    return saturated("request rejected pre-queue: queue at capacity", retry_after)


def waited_too_long(retry_after: float) -> Rejection:
    """The request waited, and its time is over."""
    message = "request timed out in queue"
    return Rejection(429, ErrorCode.POOL_SATURATED, message, retry_after=retry_after, dropped="rejected-ttl-expired")


def evicted() -> Rejection:
    """The request was running, and had to end for a more important one."""
    message = "request evicted by flow control"
    return Rejection(429, ErrorCode.POOL_SATURATED, message, retry_after=1.0, dropped="evicted")


def internal(message: str) -> Rejection:
    """A defect, or a configuration that cannot serve the request."""
    return Rejection(500, ErrorCode.INTERNAL, message)


# HTTP/1.1, where a transport reads it itself


def unsupported_version(version: str) -> Rejection:
    return Rejection(505, ErrorCode.INVALID_REQUEST, f"HTTP/{version} is not supported")


def length_required() -> Rejection:
    return Rejection(411, ErrorCode.INVALID_REQUEST, "a body needs a Content-Length; Transfer-Encoding has none")


def unsupported_expectation() -> Rejection:
    return Rejection(417, ErrorCode.INVALID_REQUEST, "the only supported expectation is 100-continue")


def head_too_large(limit: int) -> Rejection:
    return Rejection(431, ErrorCode.REQUEST_TOO_LARGE, f"the request's head may have {limit} bytes")


def too_slow(seconds: float) -> Rejection:
    return Rejection(408, ErrorCode.INVALID_REQUEST, f"the request was not complete after {seconds:g} s")
