"""Which request of a flow is next: orderings as functions from an item to a key, the smallest first. Pure.

Ties are broken by arrival. A key never changes while its item waits.
"""

import math
from collections.abc import Callable
from typing import Final

from epp.admission.flowcontrol.waiting import Item

Ordering = Callable[[Item], float]


def first_come(item: Item) -> float:
    """`fcfs-ordering-policy`: by arrival."""
    return item.arrived_at


def earliest_deadline(ttl_seconds: float | None) -> Ordering:
    """`edf-ordering-policy`: by the time at which waiting ends. All share one TTL, so without any the order is fcfs."""

    def key(item: Item) -> float:
        return item.arrived_at + (ttl_seconds or 0.0)

    return key


def slo_deadline(item: Item) -> float:
    """`slo-deadline-ordering-policy`: by arrival plus the first-token objective; items without one are last."""
    return math.inf if item.slo_seconds is None else item.arrived_at + item.slo_seconds


NAMES: Final = ("fcfs-ordering-policy", "edf-ordering-policy", "slo-deadline-ordering-policy")
