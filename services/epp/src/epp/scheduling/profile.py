"""Runs one profile: filters in order, scorers summed by weight, the picker. Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import nlargest
from operator import index

from epp.scheduling.containing import contained
from epp.scheduling.plugin import Filter, Picker, Profile, ProfileResult, Scorer, Trace
from epp.scheduling.view import SchedulingView

# A sum of others, decimals or a numeric package's, is of their type: totals, and whoever reads them, know only these.
_PLAIN = (float, int)


def _forget(plugin: str, error: str) -> None:
    del plugin, error


class NoTrace:
    """Forgets all but failures, which it passes on."""

    def __init__(self, failed: Callable[[str, str], None] = _forget) -> None:
        self.failed = failed

    def filtered(self, profile: str, plugin: str, before: SchedulingView, keep: Sequence[bool]) -> None:
        """Forget it."""

    def scored(self, profile: str, plugin: str, weight: float, view: SchedulingView, scores: Sequence[float]) -> None:
        """Forget it."""

    def picked(self, profile: str, view: SchedulingView, totals: Sequence[float], chosen: Sequence[int]) -> None:
        """Forget it."""


NO_TRACE = NoTrace()


def run_profile(profile: Profile, view: SchedulingView, trace: Trace = NO_TRACE) -> ProfileResult | None:
    """The profile's choice; None when its filters left nobody.

    A filter that fails keeps all, a scorer that fails has no opinion, and in place of a picker that fails the highest
    total is chosen.
    """
    for name, filter_ in profile.filters:
        kept = contained(trace, name, partial(_keep, filter_, view), otherwise=None)
        if kept is None:
            continue
        keep, narrower = kept
        trace.filtered(profile.name, name, view, keep)
        view = narrower
        if not len(view.endpoints):
            return None
    totals = [0.0] * len(view.endpoints)
    for weighted in profile.scorers:
        scores = contained(trace, weighted.name, partial(_score, weighted.scorer, view), otherwise=None)
        if scores is None:
            continue
        trace.scored(profile.name, weighted.name, weighted.weight, view, scores)
        if not any(scores):
            continue
        weight = weighted.weight
        totals = [total + weight * score for total, score in zip(totals, scores, strict=True)]
    picks = partial(_pick, profile.picker, totals, view)
    picked = contained(trace, type(profile.picker).__name__, picks, otherwise=())
    chosen = with_fallbacks(picked, totals, view)
    trace.picked(profile.name, view, totals, chosen)
    return ProfileResult(view, totals, chosen)


def _keep(filter_: Filter, view: SchedulingView) -> tuple[Sequence[bool], SchedulingView]:
    keep = filter_.keep(view)
    _check(len(keep), view)
    return keep, view.narrowed(keep)


def _score(scorer: Scorer, view: SchedulingView) -> Sequence[float]:
    scores = scorer.score(view)
    _check(len(scores), view)
    return clamped(scores)


def _check(answers: int, view: SchedulingView) -> None:
    if answers != len(view.endpoints):
        raise ValueError(f"expected {len(view.endpoints)} answers, one for each candidate, got {answers}")


def _pick(picker: Picker, totals: Sequence[float], view: SchedulingView) -> Sequence[int]:
    chosen = [*map(index, picker.pick(totals, view))]
    if not chosen or min(chosen) < 0 or max(chosen) >= len(totals) or len(set(chosen)) < len(chosen):
        raise ValueError(f"expected positions below {len(totals)}, each once, got {chosen!r}")
    return chosen


def with_fallbacks(chosen: Sequence[int], totals: Sequence[float], view: SchedulingView) -> Sequence[int]:
    """The picker's choice, and behind it the best of the others until the proxy has as many as it would walk."""
    missing = 1 + view.fallbacks - len(chosen)
    if missing <= 0 or len(chosen) == len(totals):
        return chosen
    taken = frozenset(chosen)
    random = view.random.random
    others = [(totals[at], random(), at) for at in range(len(totals)) if at not in taken]
    return [*chosen, *(at for _, _, at in nlargest(missing, others))]


def clamped(scores: Sequence[float]) -> Sequence[float]:
    """Scores within 0..1; what is not a number counts as the worst."""
    total = sum(scores)
    if type(total) not in _PLAIN:
        scores = [*map(float, scores)]
        total = sum(scores)
    if not scores or (min(scores) >= 0.0 and max(scores) <= 1.0 and total >= 0.0):
        return scores
    return [score if 0.0 <= score <= 1.0 else (1.0 if score > 1.0 else 0.0) for score in scores]
