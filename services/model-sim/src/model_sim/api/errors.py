"""Errors in vLLM's shape: `{"error": {"message", "type", "param", "code"}}`, where `code` is the status."""

from http import HTTPStatus

import orjson

_TYPES = {
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}


class ApiError(Exception):
    """A request that is refused. Raised before anything is queued."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.kind = kind or error_type(status)


def error_type(status: int) -> str:
    """vLLM's error type for a status."""
    return _TYPES.get(status, "BadRequestError" if status < 500 else "InternalServerError")


def error_body(status: int, message: str, param: str | None = None, kind: str | None = None) -> bytes:
    return orjson.dumps(
        {"error": {"message": message, "type": kind or error_type(status), "param": param, "code": status}}
    )


def anthropic_error_body(status: int, message: str) -> bytes:
    """The same for `/v1/messages`."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    return orjson.dumps({"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}})


def phrase(status: int) -> str:
    """The standard words for a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
