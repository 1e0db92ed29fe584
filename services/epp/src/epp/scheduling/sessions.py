"""Session affinity: the same session to the same endpoint, while that endpoint is among the candidates. Pure.

Two ways to know the endpoint: a token that the answer carried and the client sends back, which needs no memory and
works over replicas and restarts; or a session id bound in a bounded map, which replicas share. The token is a
hash: it does not show who the endpoint is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import xxhash

from epp.domain import EndpointId
from epp.scheduling.plugin import parameter
from epp.scheduling.producers import SESSION_HEADER as SESSION_HEADER
from epp.scheduling.view import SchedulingView
from gateway.wire.protocol import CONTROL_HEADER_PREFIX

TOKEN_HEADER = "x-session-token"  # noqa: S105 - the header's name

Strategy = Literal["encoded_endpoint_header", "session_id"]
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
# What an answer cannot do without, and what is the proxy's own.
_TAKEN: Final = frozenset((
    "connection", "content-encoding", "content-length", "content-type", "cookie", "date", "host", "set-cookie",
    "trailer", "transfer-encoding", "upgrade",
))  # fmt: skip
_TAKEN_PREFIXES: Final = (CONTROL_HEADER_PREFIX, "x-envoy-")
_STRATEGIES = ("encoded_endpoint_header", "session_id")
_WHY_STRATEGY = "how the endpoint is known: from the answer's token, or by a session id that is bound on all replicas"


def token_of(endpoint: EndpointId) -> str:
    """What a client sends back to meet the same endpoint."""
    return xxhash.xxh3_64_hexdigest(endpoint.encode())


def bound(view: SchedulingView, strategy: Strategy, token_header: str) -> list[bool]:
    """Which candidate the request is bound to; none of them where it is not or that endpoint is gone."""
    if strategy == "session_id":
        return list(view.session_bound)
    token = view.request.headers.get(token_header)
    if not token:
        return [False] * len(view)
    return [token_of(endpoint.id) == token for endpoint in view.endpoints]


@dataclass(frozen=True, slots=True)
class SessionSource:
    """Where a session id may stand."""

    header: str = parameter("", "the request header")
    attribute: str = parameter("", "ignored: no plugin here sets attributes of a request", ignored=True)


@dataclass(frozen=True, slots=True)
class SessionIdConfig:
    """How sessions are known by their ids."""

    sources: tuple[SessionSource, ...] = parameter(
        (), "headers tried in order; without any, what clients send (docs/scheduling.md)"
    )
    eviction_ttl_seconds: float = parameter(300.0, "how long an unused session stays bound", unit="seconds", above=0)
    eviction_sweep_seconds: float = parameter(10.0, "ignored: sessions expire every second", ignored=True)

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that are named."""
        return tuple(source.header for source in self.sources if source.header)


@dataclass(frozen=True, slots=True)
class EncodedEndpointHeaderConfig:
    """How the token travels."""

    header: str = parameter(
        TOKEN_HEADER, "the header of request and answer; the HTTP door passes on those that begin with x-session-"
    )

    def problem(self) -> str | None:
        """A header that an answer may have besides its own."""
        name = self.header.lower()
        if name and (not _HEADER_NAME.fullmatch(name) or name in _TAKEN or name.startswith(_TAKEN_PREFIXES)):
            return f"header: {self.header!r} cannot carry a session token"
        return None


def token_header(config: EncodedEndpointHeaderConfig | None) -> str:
    """The header that carries the token, in lower case."""
    return TOKEN_HEADER if config is None else config.header.lower() or TOKEN_HEADER


@dataclass(frozen=True, slots=True)
class SessionAffinityFilter:
    """Keeps only the endpoint a session is bound to, while it is there."""

    strategy: Strategy = parameter("encoded_endpoint_header", _WHY_STRATEGY, choices=_STRATEGIES)
    encoded_endpoint_header_config: EncodedEndpointHeaderConfig | None = parameter(None, "of that strategy")
    session_id_config: SessionIdConfig | None = parameter(None, "of that strategy")
    eviction_ttl_seconds: float = parameter(300.0, "as sessionIdConfig.evictionTtlSeconds", unit="seconds", above=0)
    eviction_sweep_seconds: float = parameter(10.0, "ignored: sessions expire every second", ignored=True)
    profile_name: str = parameter("", "ignored: a session binds to the primary profile's endpoint", ignored=True)
    header_name: str = parameter("", "earlier spelling of encodedEndpointHeaderConfig.header")

    def problem(self) -> str | None:
        """The header of the earlier spelling is judged as that of today's."""
        return EncodedEndpointHeaderConfig(self.header_name).problem()

    @property
    def token_header(self) -> str:
        """Where the token stands, in lower case."""
        return token_header(self.encoded_endpoint_header_config or EncodedEndpointHeaderConfig(self.header_name))

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """The bound one, else all."""
        keep = bound(view, self.strategy, self.token_header)
        return keep if any(keep) else [True] * len(view)


@dataclass(frozen=True, slots=True)
class SessionAffinityScorer:
    """Prefers the endpoint a session is bound to."""

    strategy: Strategy = parameter("encoded_endpoint_header", _WHY_STRATEGY, choices=_STRATEGIES)
    encoded_endpoint_header_config: EncodedEndpointHeaderConfig | None = parameter(None, "of that strategy")
    session_id_config: SessionIdConfig | None = parameter(None, "of that strategy")
    eviction_ttl_seconds: float = parameter(300.0, "as sessionIdConfig.evictionTtlSeconds", unit="seconds", above=0)
    eviction_sweep_seconds: float = parameter(10.0, "ignored: sessions expire every second", ignored=True)
    profile_name: str = parameter("", "ignored: a session binds to the primary profile's endpoint", ignored=True)
    header_name: str = parameter("", "earlier spelling of encodedEndpointHeaderConfig.header")

    def problem(self) -> str | None:
        """The header of the earlier spelling is judged as that of today's."""
        return EncodedEndpointHeaderConfig(self.header_name).problem()

    @property
    def token_header(self) -> str:
        """Where the token stands, in lower case."""
        return token_header(self.encoded_endpoint_header_config or EncodedEndpointHeaderConfig(self.header_name))

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 for the bound one, 0 for others."""
        is_bound = (
            view.session_bound if self.strategy == "session_id" else bound(view, self.strategy, self.token_header)
        )
        return [*map(float, is_bound)] if True in is_bound else [0.0] * len(is_bound)
