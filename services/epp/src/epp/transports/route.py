"""The settings that a proxy's route sends along: in the initial metadata of an ext_proc stream, or in headers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from epp.domain import PoolId, Verdict
from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.protocol import (
    FALLBACKS_METADATA,
    LONGEST_WAIT_METADATA,
    LOWER_TIERS_METADATA,
    POOL_METADATA,
    TTFT_LIMIT,
)

# No retry policy walks further, and the list travels in a header.
FALLBACKS_LIMIT = 8
_UNSERVED: Final = (ErrorCode.NO_READY_ENDPOINT, ErrorCode.POOL_SATURATED)


@dataclass(frozen=True, slots=True)
class Route:
    """`longest_wait` is how many seconds of message timeout a picker may ask for; 0 where it may not.

    The proxy's subset holds unless an operator says otherwise; `reports_served` is an operator's, too: answers name the
    endpoint that served them.
    """

    pool: PoolId | None = None
    fallbacks: int = 0
    longest_wait: int = 0
    honours_subset: bool = True
    reports_served: bool = False
    lower_tiers: int = 0
    first_token: float | None = None  # seconds


def is_left_to_others(verdict: Verdict, lower_tiers: int) -> bool:
    """Whether a request that this pool cannot serve now goes on to one of the route's lower tiers."""
    return lower_tiers > 0 and isinstance(verdict, Rejection) and verdict.code in _UNSERVED


def route_of(metadata: Mapping[str, str]) -> Route:
    """The route of a stream."""
    return Route(
        pool=pool_of(metadata.get(POOL_METADATA, "")),
        fallbacks=fallbacks_of(metadata.get(FALLBACKS_METADATA, "")),
        longest_wait=number(metadata.get(LONGEST_WAIT_METADATA, "")),
        lower_tiers=number(metadata.get(LOWER_TIERS_METADATA, "")),
        first_token=first_token_of(metadata.get(TTFT_LIMIT, "")),
    )


def pool_of(value: str) -> PoolId | None:
    """The pool that the route names."""
    return PoolId(value.strip()) or None


def fallbacks_of(value: str) -> int:
    """How many further endpoints the route would walk; none where that is no number."""
    return min(number(value), FALLBACKS_LIMIT)


def first_token_of(milliseconds: str) -> float | None:
    """Seconds within which a streamed answer must have begun; None where the route does not say."""
    return number(milliseconds) / 1000 or None


def number(text: str) -> int:
    """A small natural number; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
