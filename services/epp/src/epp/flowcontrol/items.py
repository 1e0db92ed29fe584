"""The values of flow control: a request that waits, limits of what may wait, and how waiting ends. Pure."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

NO_LIMIT: Final = math.inf
NEVER: Final = math.inf


class Outcome(StrEnum):
    """How a request left flow control; the values are upstream's metric labels."""

    DISPATCHED = "Dispatched"
    REJECTED_CAPACITY = "RejectedCapacity"
    REJECTED_NO_ENDPOINTS = "RejectedNoEndpoints"
    REJECTED_OTHER = "RejectedOther"
    EVICTED_TTL = "EvictedTTL"
    EVICTED_NO_ENDPOINTS = "EvictedNoEndpoints"
    EVICTED_CANCELLED = "EvictedContextCancelled"
    EVICTED_OTHER = "EvictedOther"


class Size(NamedTuple):
    """What one or many requests weigh: how many they are, bytes of their bodies, tokens of their prompts."""

    requests: int = 1
    bytes: int = 0
    tokens: int = 0

    def plus(self, other: "Size") -> "Size":
        """Both together."""
        return Size(self.requests + other.requests, self.bytes + other.bytes, self.tokens + other.tokens)

    def minus(self, other: "Size") -> "Size":
        """What is left without the other."""
        return Size(self.requests - other.requests, self.bytes - other.bytes, self.tokens - other.tokens)


NOTHING: Final = Size(0)


class Item(NamedTuple):
    """One request that waits. A tuple, which costs least to make: every request is one, also if it need not wait.

    `slo_seconds` is the first-token objective that the client named, if it named one; `patience_seconds` is how long
    whoever asks for it waits, whatever the TTLs say; `session` is its conversation where no fairness id says more.
    """

    id: int
    flow: str
    priority: int
    size: Size
    arrived_at: float
    slo_seconds: float | None = None
    patience_seconds: float = NEVER
    session: str = ""

    @property
    def gives_up_at(self) -> float:
        """When nobody waits for it any more."""
        return self.arrived_at + self.patience_seconds


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may wait at a time."""

    requests: float = NO_LIMIT
    bytes: float = NO_LIMIT
    tokens: float = NO_LIMIT

    def holds(self, size: Size) -> bool:
        """Whether so much may wait."""
        return size.requests <= self.requests and size.bytes <= self.bytes and size.tokens <= self.tokens
