"""What a request has cost, as routes of Envoy AI Gateway count it. Pure values."""

from dataclasses import dataclass
from enum import StrEnum


class CostType(StrEnum):
    """What is counted, in the API's words."""

    INPUT = "InputToken"
    CACHED_INPUT = "CachedInputToken"
    CACHE_CREATION_INPUT = "CacheCreationInputToken"
    OUTPUT = "OutputToken"
    TOTAL = "TotalToken"
    REASONING = "ReasoningToken"
    CEL = "CEL"  # an expression over the others, which nothing here evaluates


@dataclass(frozen=True, slots=True)
class RequestCost:
    """`key` is the member of Envoy's dynamic metadata that the count is written to."""

    key: str
    type: CostType


def overridden(usual: tuple[RequestCost, ...], own: tuple[RequestCost, ...]) -> tuple[RequestCost, ...]:
    """Those of a Gateway with those of a route in place of the ones that have the same key."""
    return tuple({cost.key: cost for cost in (*usual, *own)}.values())
