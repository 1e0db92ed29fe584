"""Session affinity: the same session to the same endpoint, while that endpoint is among the candidates. Pure.

Two ways to know the endpoint: a token that the answer carried and the client sends back, which needs no memory and
works over replicas and restarts; or a session id bound in a bounded map of this replica. The token is a hash: it does
not show who the endpoint is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import xxhash

from epp.model import EndpointId
from epp.scheduling.plugin import parameter
from epp.scheduling.producers import SESSION_HEADER as SESSION_HEADER
from epp.scheduling.view import SchedulingView

TOKEN_HEADER = "x-session-token"  # noqa: S105 - the header's name

Strategy = Literal["encoded_endpoint_header", "session_id"]
_STRATEGIES = ("encoded_endpoint_header", "session_id")
_WHY_STRATEGY = "how the endpoint is known: from the answer's token, or by a session id in this replica's memory"


def token_of(endpoint: EndpointId) -> str:
    """What a client sends back to meet the same endpoint."""
    return xxhash.xxh3_64_hexdigest(endpoint.encode())


def bound(view: SchedulingView, strategy: Strategy) -> list[bool]:
    """Which candidate the request is bound to; none of them where it is not or that endpoint is gone."""
    if strategy == "session_id":
        return [state.id == view.bound for state in view.states]
    token = view.request.headers.get(TOKEN_HEADER)
    if not token:
        return [False] * len(view)
    return [token_of(state.id) == token for state in view.states]


@dataclass(frozen=True, slots=True)
class SessionSource:
    """Where a session id may stand."""

    header: str = parameter("", "the request header")
    attribute: str = parameter("", "ignored: no plugin here sets attributes of a request", ignored=True)


@dataclass(frozen=True, slots=True)
class SessionIdConfig:
    """How sessions are known by their ids."""

    sources: tuple[SessionSource, ...] = parameter((), "headers tried in order; without any, x-session-id")
    eviction_ttl_seconds: float = parameter(300.0, "how long an unused session stays bound", unit="seconds", above=0)
    eviction_sweep_seconds: float = parameter(10.0, "ignored: sessions expire every second", ignored=True)

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that are named."""
        return tuple(source.header for source in self.sources if source.header)


@dataclass(frozen=True, slots=True)
class EncodedEndpointHeaderConfig:
    """How the token travels."""

    header: str = parameter(TOKEN_HEADER, "the header of request and answer")

    def warning(self) -> str | None:
        """The picker answers with this one header."""
        same = self.header.lower() == TOKEN_HEADER
        return None if same else f"header {self.header!r} has no effect: the token travels in {TOKEN_HEADER}"


@dataclass(frozen=True, slots=True)
class SessionAffinityFilter:
    """Keeps only the endpoint a session is bound to, while it is there."""

    strategy: Strategy = parameter("encoded_endpoint_header", _WHY_STRATEGY, choices=_STRATEGIES)
    encoded_endpoint_header_config: EncodedEndpointHeaderConfig | None = parameter(None, "of that strategy")
    session_id_config: SessionIdConfig | None = parameter(None, "of that strategy")
    eviction_ttl_seconds: float = parameter(300.0, "as sessionIdConfig.evictionTtlSeconds", unit="seconds", above=0)
    eviction_sweep_seconds: float = parameter(10.0, "ignored: sessions expire every second", ignored=True)
    profile_name: str = parameter("", "ignored: a session binds to the primary profile's endpoint", ignored=True)

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """The bound one, else all."""
        keep = bound(view, self.strategy)
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

    def score(self, view: SchedulingView) -> Sequence[float]:
        """1 for the bound one, 0 for others."""
        return [float(is_bound) for is_bound in bound(view, self.strategy)]
