"""Which request of a flow is next: ordering policies, plugins that give each item a key, the smallest first. Pure.

Ties are broken by arrival. A key never changes while its item waits.
"""

from dataclasses import dataclass
from typing import Protocol

from epp.flowcontrol.items import NEVER, Item


class Ordering(Protocol):
    """An ordering policy."""

    def key(self, item: Item) -> float:
        """Smaller is earlier."""


@dataclass(frozen=True, slots=True)
class FirstComeOrdering:
    """By arrival."""

    def key(self, item: Item) -> float:
        """When it came."""
        return item.arrived_at


@dataclass(frozen=True, slots=True)
class EarliestDeadlineOrdering:
    """By the time at which waiting ends: the TTL after arrival, or earlier where the proxy waits less."""

    ttl_seconds: float = NEVER  # of the whole queue: the configuration's section says it, not the policy's parameters

    def key(self, item: Item) -> float:
        """When nobody waits for it any more."""
        return item.arrived_at + min(self.ttl_seconds, item.patience_seconds)


@dataclass(frozen=True, slots=True)
class SloDeadlineOrdering:
    """By arrival plus the client's objective for the first token; requests without one are last."""

    def key(self, item: Item) -> float:
        """When the first token is due."""
        return NEVER if item.slo_seconds is None else item.arrived_at + item.slo_seconds
