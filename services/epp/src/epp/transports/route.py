"""The settings that a proxy's route sends along: in the initial metadata of an ext_proc stream, or in headers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from epp.domain import PoolId
from gateway.wire.protocol import FALLBACKS_METADATA, LONGEST_WAIT_METADATA, POOL_METADATA

# No retry policy walks further, and the list travels in a header.
FALLBACKS_LIMIT = 8


@dataclass(frozen=True, slots=True)
class Route:
    """`longest_wait` is how many seconds of message timeout a picker may ask for; 0 where it may not.

    The proxy's subset holds unless an operator says otherwise.
    """

    pool: PoolId | None = None
    fallbacks: int = 0
    longest_wait: int = 0
    honours_subset: bool = True


def route_of(metadata: Mapping[str, str]) -> Route:
    """The route of a stream."""
    return Route(
        pool_of(metadata.get(POOL_METADATA, "")),
        fallbacks_of(metadata.get(FALLBACKS_METADATA, "")),
        number(metadata.get(LONGEST_WAIT_METADATA, "")),
    )


def pool_of(value: str) -> PoolId | None:
    """The pool that the route names."""
    return PoolId(value.strip()) or None


def fallbacks_of(value: str) -> int:
    """How many further endpoints the route would walk; none where that is no number."""
    return min(number(value), FALLBACKS_LIMIT)


def number(text: str) -> int:
    """A small natural number; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
