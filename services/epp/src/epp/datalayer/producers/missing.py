"""The one rule for a figure that is not known: it counts as the worst that any candidate has. Pure.

A figure is not known where a scrape did not bring it (another name, not a number), before the first scrape, and once
the scrape is stale. It is then never the best: an endpoint that says nothing must not win every pick. Where no
candidate has the figure, they are compared by what this picker itself knows.
"""

from collections.abc import Sequence
from typing import Final

from epp.domain import EngineMetrics

WAITING: Final = 1
RUNNING: Final = 2
KV_USAGE: Final = 4
EVERYTHING: Final = WAITING | RUNNING | KV_USAGE


def missing_in(metrics: EngineMetrics | None) -> int:
    """The figures that a scrape did not bring, as flags."""
    if metrics is None:
        return EVERYTHING
    missing = 0 if metrics.waiting is not None else WAITING
    missing |= 0 if metrics.running is not None else RUNNING
    return missing if metrics.kv_usage is not None else missing | KV_USAGE


def worst_for_missing(values: Sequence[float], is_missing: Sequence[int]) -> Sequence[float]:
    """The values, where one is missing the largest of the others if that is larger. In all of them more is worse."""
    known = [value for value, missing in zip(values, is_missing, strict=True) if not missing]
    if not known or len(known) == len(values):
        return values
    worst = max(known)
    return [max(value, worst) if missing else value for value, missing in zip(values, is_missing, strict=True)]
