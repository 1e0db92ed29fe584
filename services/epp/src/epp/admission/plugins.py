"""What a gate asks plugins: how full the pool is, and whether they turn a request away. Pure.

A plugin that fails counts as one that is not there: the pool is not full, and the request admitted.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from epp.scheduling.containing import contained
from epp.scheduling.plugin import Admitter, SaturationDetector, Trace
from epp.scheduling.view import SchedulingView
from gateway.wire import refusals
from gateway.wire.errors import Rejection


def saturation_of(detector: SaturationDetector, view: SchedulingView, trace: Trace) -> float:
    """1 and above is full."""
    return contained(trace, _type(detector), partial(_finite, detector.saturation, view), otherwise=0.0)


def turned_away(admitters: Sequence[Admitter], view: SchedulingView, trace: Trace) -> Rejection | None:
    """The refusal of the first admitter that does not want the request."""
    for admitter in admitters:
        if not contained(trace, _type(admitter), partial(_admits, admitter, view), otherwise=True):
            return refusals.saturated("the pool is too busy to admit this request")
    return None


def _finite(measure: Callable[[SchedulingView], float], view: SchedulingView) -> float:
    found = float(measure(view))
    if not math.isfinite(found):
        raise ValueError(f"expected a finite saturation, got {found}")
    return found


def _admits(admitter: Admitter, view: SchedulingView) -> bool:
    return bool(admitter.admits(view))


def _type(plugin: object) -> str:
    return type(plugin).__name__
