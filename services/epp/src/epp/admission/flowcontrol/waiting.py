"""The values of flow control: a request that waits, limits of what may wait, and how waiting ends. Pure."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NO_LIMIT: Final = math.inf


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


@dataclass(frozen=True, slots=True)
class Item:
    """One request that waits. `slo_seconds` is the first-token objective that the client named, if it named one."""

    id: int
    flow: str
    priority: int
    size: "Size"
    arrived_at: float
    slo_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """What one or many requests weigh: how many they are, bytes of their bodies, tokens of their prompts."""

    requests: int = 1
    bytes: int = 0
    tokens: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.requests + other.requests, self.bytes + other.bytes, self.tokens + other.tokens)

    def __sub__(self, other: "Size") -> "Size":
        return Size(self.requests - other.requests, self.bytes - other.bytes, self.tokens - other.tokens)


NOTHING: Final = Size(0)


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may wait at a time."""

    requests: float = NO_LIMIT
    bytes: float = NO_LIMIT
    tokens: float = NO_LIMIT

    def holds(self, size: Size) -> bool:
        """Whether so much may wait."""
        return size.requests <= self.requests and size.bytes <= self.bytes and size.tokens <= self.tokens
