"""One decision: whether a request is admitted, then the profiles. Pure.

A plugin that fails counts as one that is not there: nobody is shed, and everybody admitted.
"""

from typing import Final

from epp.config import SchedulerConfig
from epp.scheduling.containing import contained
from epp.scheduling.plugin import Admitter, Decision, SaturationDetector, Trace
from epp.scheduling.view import SchedulingView
from gateway.wire.errors import ErrorCode, Rejection

_HANDLER_FAILED: Final = Rejection(500, ErrorCode.INTERNAL, "the profile handler failed")


def decide(config: SchedulerConfig, view: SchedulingView, trace: Trace) -> Decision | Rejection:
    """Whom the profiles choose, or why nobody is."""
    refused = _shed(config, view, trace)
    if refused is not None:
        return refused
    return contained(trace, _type(config.handler), _HANDLER_FAILED, _run, config, view, trace)


def _run(config: SchedulerConfig, view: SchedulingView, trace: Trace) -> Decision | Rejection:
    said: object = config.handler.run(config.profiles, view, trace)
    if not isinstance(said, Decision | Rejection):
        raise TypeError(f"expected a decision or a rejection, got {said!r}")
    return said


def _shed(config: SchedulerConfig, view: SchedulingView, trace: Trace) -> Rejection | None:
    """Sheddable requests, those of negative priority, are refused while the pool is saturated."""
    detector = config.detector if view.request.priority < 0 else None
    if detector is not None and contained(trace, _type(detector), False, _is_saturated, detector, view):
        return _saturated("the pool is saturated and this request is sheddable")
    for admitter in config.admitters:
        if not contained(trace, _type(admitter), True, _admits, admitter, view):
            return _saturated("the pool is too busy to admit this request")
    return None


def _is_saturated(detector: SaturationDetector, view: SchedulingView) -> bool:
    return detector.saturation(view) >= 1.0


def _admits(admitter: Admitter, view: SchedulingView) -> bool:
    return bool(admitter.admits(view))


def _type(plugin: object) -> str:
    return type(plugin).__name__


def _saturated(words: str) -> Rejection:
    return Rejection(429, ErrorCode.POOL_SATURATED, words, retry_after=1.0)
