"""The shape in which an error reaches a client: OpenAI's, with a `code` from a documented list, or Anthropic's.

Pure. Every service and the rendered Envoy configuration use these codes; `docs/errors.md` lists them for people. What
is refused, and in which words, is in `refusals`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from gateway.wire.protocol import DROPPED_REASON


class ErrorCode(StrEnum):
    """Stable words a program can match on; the message is for people."""

    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    REQUEST_REFUSED = "request_refused"
    CREDENTIAL_MISSING = "credential_missing"
    INVALID_API_KEY = "invalid_api_key"
    ACCESS_DENIED = "access_denied"
    STORED_NOT_FOUND = "stored_not_found"
    MODEL_NOT_FOUND = "model_not_found"
    ROUTE_NOT_FOUND = "route_not_found"
    REQUEST_TOO_LARGE = "request_too_large"
    RATE_LIMITED = "rate_limited"
    QUOTA_UNAVAILABLE = "quota_unavailable"
    POOL_SATURATED = "pool_saturated"
    NO_READY_ENDPOINT = "no_ready_endpoint"
    PICKER_UNAVAILABLE = "picker_unavailable"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    GATEWAY_OVERLOADED = "gateway_overloaded"
    INTERNAL = "internal_error"


_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}

# What Anthropic's API calls them.
_ANTHROPIC_TYPES = {
    **dict.fromkeys((400, 408, 411, 415, 417, 431), "invalid_request_error"), 401: "authentication_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
    503: "overloaded_error",
}  # fmt: skip
ANTHROPIC_PATHS = ("/messages", "/messages/count_tokens", "/messages/batches")
REQUEST_ID = "x-request-id"


def anthropic_type(status: int) -> str:
    """The `type` that Anthropic's clients expect for a status."""
    return _ANTHROPIC_TYPES.get(status, "api_error")


def is_anthropic(request: Mapping[str, str]) -> bool:
    """Whether a request, by its `:path`, is of Anthropic's API, whose clients expect errors of another shape."""
    return request.get(":path", "").partition("?")[0].rstrip("/").endswith(ANTHROPIC_PATHS)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a request is refused. `retry_after` is in seconds; `dropped` is upstream's word for a refusal for load."""

    status: int
    code: ErrorCode
    message: str
    param: str | None = None
    retry_after: float | None = None
    dropped: str | None = None

    @property
    def whole_seconds(self) -> int | None:
        """When a client may come back: in whole seconds, at least one, and never too early."""
        return None if self.retry_after is None else max(1, math.ceil(self.retry_after))

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The response headers."""
        found = [("content-type", "application/json")]
        if self.whole_seconds is not None:
            found.append(("retry-after", str(self.whole_seconds)))
        if self.dropped is not None:
            found.append((DROPPED_REASON, self.dropped))
        return tuple(found)

    def headers_for(self, request: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The response headers for a request with these headers, in the shape of its API."""
        known = request.get(REQUEST_ID, "")
        return (*self.headers(), ("request-id", known)) if known and is_anthropic(request) else self.headers()

    def body_for(self, request: Mapping[str, str]) -> bytes:
        """The body for a request with these headers, in the shape of its API."""
        if not is_anthropic(request):
            return self.body()
        error = {"type": anthropic_type(self.status), "message": self.message}
        return orjson.dumps({"type": "error", "error": error, "request_id": request.get(REQUEST_ID) or None})

    def body(self) -> bytes:
        """The JSON object `{"error": {"message", "type", "param", "code"}}` as bytes."""
        return error_body(self.status, self.code, self.message, self.param)


def error_body(status: int, code: str, message: str, param: str | None = None) -> bytes:
    """Render one OpenAI-shaped error."""
    return orjson.dumps({"error": {"message": message, "type": error_type(status), "param": param, "code": code}})


def error_type(status: int) -> str:
    """The `type` that OpenAI's clients expect for a status."""
    return _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
