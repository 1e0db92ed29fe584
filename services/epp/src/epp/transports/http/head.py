"""Reads the head of one HTTP/1.1 request: which question it is, and how many bytes of body follow.

Pure. The head arrives whole, with its empty line; llhttp judges its grammar (both lengths, two lengths, folded lines,
bare line feeds and the like are its errors), this module what a valid head means here. Bodies never reach the parser:
their length is known before them, since a body without Content-Length is refused, so where a message ends is never a
matter of opinion. Headers that are never read become no objects.
"""

from typing import Final, NamedTuple

import httptools

from epp.domain import PoolId
from epp.transports.route import fallbacks_of, first_token_of, number, pool_of
from gateway.wire import refusals
from gateway.wire.errors import Rejection
from gateway.wire.protocol import (
    DESTINATION_ENDPOINT,
    DESTINATION_SERVED,
    DESTINATION_SUBSET,
    FALLBACKS_METADATA,
    LONGEST_WAIT_METADATA,
    LOWER_TIERS_METADATA,
    MODEL_HEADERS,
    MODEL_HEADERS_CHECK,
    MODEL_NAME,
    PICKER_HEALTH,
    POOL_METADATA,
    TTFT_LIMIT,
)

_UNREAD: Final = ""
# Headers that come with every question and are never read, and those that no client may send: where to go.
_UNREAD_NAMES: Final = (
    "accept", "accept-encoding", "user-agent", "x-forwarded-for", "x-forwarded-proto",
    "x-forwarded-host", "x-envoy-auth-partial-body", "x-envoy-external-address", "x-envoy-internal",
    "x-envoy-expected-rq-timeout-ms", DESTINATION_ENDPOINT, DESTINATION_SERVED, DESTINATION_SUBSET,
)  # fmt: skip
_UNREAD_PREFIX: Final = b"x-envoy-"
_FRAMING: Final = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect"))
# Names as Envoy writes them, so that most headers cost one look-up and no string.
_KEYS: Final = {name.encode(): _UNREAD for name in _UNREAD_NAMES} | {
    name.encode(): name
    for name in (
        *_FRAMING, "content-type", "x-request-id", MODEL_NAME, POOL_METADATA, FALLBACKS_METADATA, LONGEST_WAIT_METADATA,
        MODEL_HEADERS,
        PICKER_HEALTH,
    )
}  # fmt: skip
_KEYED_METHODS: Final = frozenset(("GET", "HEAD"))  # a list of models may need the client's key, nothing else
_VERSIONS: Final = ("1.1", "1.0")


class Head(NamedTuple):
    """A valid head. `headers` are those that the picker may read, names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    length: int  # bytes of body to come
    is_kept_alive: bool
    expects_continue: bool
    pool: PoolId | None
    fallbacks: int
    longest_wait: int  # seconds; 0 where the proxy does not say
    lower_tiers: int
    first_token: float | None  # seconds
    wants_model_headers: bool
    is_body_check: bool
    is_health_check: bool


class _Headers:
    """What llhttp calls back into."""

    __slots__ = (
        "expectation", "headers", "hosts", "is_complete", "is_last", "is_transfer_encoded", "length", "target",
    )  # fmt: skip

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.hosts = 0
        self.length = 0
        self.expectation = b""
        self.is_transfer_encoded = False
        self.is_complete = False
        self.is_last = False

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _KEYS.get(name)
        if key is None:
            key = _key(name.lower())
        if key == _UNREAD:
            return
        if key in _FRAMING:
            self._frame(key, value)
            return
        text = value.decode("latin-1").rstrip()
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known},{text}"

    def on_headers_complete(self) -> None:
        self.is_complete = True

    def _frame(self, name: str, value: bytes) -> None:
        if name == "content-length":
            self.length = int(value)  # digits, llhttp has seen to that
        elif name == "host":
            self.hosts += 1
        elif name == "connection":
            self.is_last |= b"close" in (token.strip() for token in value.lower().split(b","))
        elif name == "expect":
            self.expectation = value.strip().lower()
        else:
            self.is_transfer_encoded = True


def _key(name: bytes) -> str:
    """The key of a name in lower case that is not written as Envoy does, or not known."""
    if name.startswith(_UNREAD_PREFIX):
        return _UNREAD
    known = _KEYS.get(name)
    return name.decode("ascii") if known is None else known


def read_head(head: bytes, body_limit: int) -> Head | Rejection:
    """The meaning of a head that ends with its empty line."""
    seen = _Headers()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        return refusals.invalid("this port speaks HTTP/1.1 only and tunnels nothing")
    except httptools.HttpParserError as error:
        return refusals.invalid(f"the request is not HTTP/1.1: {error}")
    if not seen.is_complete:
        return refusals.invalid("the request is not HTTP/1.1: no request line")
    version = parser.get_http_version()
    refusal = _refusal(seen, version, body_limit)
    if refusal is not None:
        return refusal
    return _head(seen, parser.get_method().decode("ascii"), is_current=version == "1.1")


def _refusal(seen: _Headers, version: str, body_limit: int) -> Rejection | None:
    if version not in _VERSIONS:
        return refusals.unsupported_version(version)
    if seen.hosts > 1 or (not seen.hosts and version == "1.1"):
        return refusals.invalid(f"a request has one Host header, not {seen.hosts}")
    if seen.is_transfer_encoded:
        return refusals.length_required()
    if seen.length > body_limit:
        return refusals.too_large(body_limit)
    if seen.expectation not in (b"", b"100-continue"):
        return refusals.unsupported_expectation()
    return None


def _head(seen: _Headers, method: str, *, is_current: bool) -> Head:
    """A client of HTTP/1.0 gets one answer, and no interim one."""
    take = seen.headers.pop
    if method not in _KEYED_METHODS:
        take("authorization", None)
    models = take(MODEL_HEADERS, None)
    return Head(
        method=method,
        path=_path(seen.target.decode("latin-1")),
        length=seen.length,
        is_kept_alive=is_current and not seen.is_last,
        expects_continue=is_current and bool(seen.expectation) and seen.length > 0,
        pool=pool_of(take(POOL_METADATA, "")),
        fallbacks=fallbacks_of(take(FALLBACKS_METADATA, "")),
        longest_wait=number(take(LONGEST_WAIT_METADATA, "")),
        lower_tiers=number(take(LOWER_TIERS_METADATA, "")),
        first_token=first_token_of(take(TTFT_LIMIT, "")),
        wants_model_headers=models is not None,
        is_body_check=models == MODEL_HEADERS_CHECK,
        is_health_check=take(PICKER_HEALTH, None) is not None,
        headers=seen.headers,
    )


def _path(target: str) -> str:
    """The origin form of a target: an absolute URL loses scheme and authority."""
    if target.startswith("/") or "://" not in target:
        return target
    _, slash, path = target.partition("://")[2].partition("/")
    return slash + path or "/"
