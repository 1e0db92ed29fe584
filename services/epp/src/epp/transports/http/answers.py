"""Verdicts as the bytes of HTTP/1.1 responses.

Pure. The reader is Envoy's ext_authz filter: 200 lets the request pass and its headers become request headers and
dynamic metadata; 4xx refuses it, status and body as given; 5xx would count as a failed picker. So a refusal of 500 and
above travels as 200 with a verdict header, which a first route of Envoy turns into the error.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from epp.domain import Pick, Reply, Verdict
from gateway.wire import refusals
from gateway.wire.errors import Rejection
from gateway.wire.models import is_model_name
from gateway.wire.protocol import (
    BASE_MODEL_NAME,
    CLIENT_HEADER_ALIASES,
    DESTINATION_ENDPOINT,
    INFERENCE_MODEL,
    MODEL_NAME,
    MODEL_NAME_REWRITE,
    PICK_ID,
    VERDICT,
    VERDICT_MESSAGE,
    VERDICT_RETRY_AFTER,
)

Headers = tuple[tuple[str, str], ...]

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

# By which a client asks for another model.
_REWRITE_HEADERS: Final = (
    MODEL_NAME_REWRITE,
    *(alias for alias, name in CLIENT_HEADER_ALIASES.items() if name == MODEL_NAME_REWRITE),
)
JSON_HEADERS: Final[Headers] = (("content-type", "application/json"),)
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = "connection: close\r\n"
_OK: Final = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
_PICKED: Final = f"{_OK}{DESTINATION_ENDPOINT}: "
_SERVER_ERRORS: Final = 500
# An explanation is a sentence. Longer ones come from names in requests.
_MESSAGE_LIMIT: Final = 512
READY: Final = f"{_OK}\r\n".encode()
NOT_READY: Final = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


def objection(pick: Pick, *, wants_model_headers: bool, headers: Mapping[str, str] = NO_HEADERS) -> Rejection | None:
    """Why this transport cannot carry the pick; None for nearly all. `headers` are those of the request."""
    unserved = next((name for name in _REWRITE_HEADERS if name in headers), None)
    if pick.served_model is not None and unserved is not None:
        return refusals.invalid(f"{unserved} is not served here: ext_authz cannot change a body", unserved)
    if pick.served_model is not None:
        return refusals.internal(
            "the model was to be rewritten, which needs the ext_proc transport: ext_authz cannot change a body"
        )
    if wants_model_headers and pick.model is not None and not is_model_name(pick.model):
        return refusals.not_a_name()  # whatever the picker let pass: a header must not break the answer
    return None


def picked(pick: Pick, *, is_last: bool, base_models: Mapping[str, str] | None) -> bytes:
    """Where to go. With `base_models` the answer also does the body-based router's work."""
    lines = f"{_PICKED}{pick.destination}\r\n{PICK_ID}: {pick.id}\r\n"
    for name, value in pick.headers:
        lines += f"{name}: {value}\r\n"
    for name, value in pick.explain:
        lines += f"{name}: {value}\r\n"
    if base_models is not None and pick.model:
        lines += model_lines(pick.model, base_models.get(pick.model))
    if is_last:
        lines += _CLOSE
    return f"{lines}\r\n".encode()


def unpicked(*, is_last: bool) -> bytes:
    """The request goes on without an endpoint: another backend of the route serves it."""
    return f"{_OK}{_CLOSE if is_last else ''}\r\n".encode()


def model_lines(model: str, base: str | None) -> str:
    """The headers that name a model. Envoy trims headers and chooses the route anew by what is left: a name that would
    become another one gets no header, and stays as Envoy itself found it."""
    if model != model.strip(" "):
        return ""
    line = f"{MODEL_NAME}: {model}\r\n{INFERENCE_MODEL}: {model}\r\n"
    return line if base is None else f"{line}{BASE_MODEL_NAME}: {base}\r\n"


def replied(reply: Reply, *, is_last: bool, is_head: bool) -> bytes:
    """The picker's own JSON, for a route that leads to the picker itself."""
    return _with_body(HTTPStatus.OK, JSON_HEADERS, reply.body, is_last=is_last, is_head=is_head)


def refused(rejection: Rejection, *, is_last: bool, is_head: bool, request: Mapping[str, str] = NO_HEADERS) -> bytes:
    """A refusal that ext_authz passes on."""
    if rejection.status >= _SERVER_ERRORS:
        close = _CLOSE if is_last else ""
        text = _header_text(rejection.message)
        seconds = rejection.whole_seconds
        wait = "" if seconds is None else f"{VERDICT_RETRY_AFTER}: {seconds}\r\n"
        return f"{_OK}{VERDICT}: {rejection.code}\r\n{VERDICT_MESSAGE}: {text}\r\n{wait}{close}\r\n".encode()
    return _rejected(rejection, is_last=is_last, is_head=is_head, request=request)


def broken(rejection: Rejection) -> bytes:
    """The last answer on a connection whose bytes are no request: its status as it is."""
    return _rejected(rejection, is_last=True, is_head=False)


def of_verdict(
    verdict: Verdict,
    *,
    is_last: bool,
    is_head: bool,
    base_models: Mapping[str, str] | None,
    request: Mapping[str, str] = NO_HEADERS,
) -> bytes:
    """Any verdict; a pick must have met no objection."""
    match verdict:
        case Pick():
            return picked(verdict, is_last=is_last, base_models=base_models)
        case Reply():
            return replied(verdict, is_last=is_last, is_head=is_head)
        case Rejection():
            return refused(verdict, is_last=is_last, is_head=is_head, request=request)


def _rejected(rejection: Rejection, *, is_last: bool, is_head: bool, request: Mapping[str, str] = NO_HEADERS) -> bytes:
    headers, body = rejection.headers_for(request), rejection.body_for(request)
    return _with_body(HTTPStatus(rejection.status), headers, body, is_last=is_last, is_head=is_head)


def _with_body(status: HTTPStatus, headers: Headers, body: bytes, *, is_last: bool, is_head: bool) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    close = _CLOSE if is_last else ""
    start = f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}content-length: {len(body)}\r\n{close}\r\n".encode()
    return start if is_head else start + body


def _header_text(message: str) -> str:
    """A message as one header value: ASCII, no control characters, bounded."""
    text = message[:_MESSAGE_LIMIT].encode("ascii", "backslashreplace").decode("ascii")
    return "".join(character if character.isprintable() else " " for character in text)
