"""Runs one profile: filters in order, scorers summed by weight, the picker. Pure."""

from collections.abc import Sequence
from heapq import nlargest

from epp.scheduling.plugin import Profile, ProfileResult, Trace
from epp.scheduling.view import SchedulingView


class NoTrace:
    """Forgets."""

    def filtered(self, profile: str, plugin: str, before: SchedulingView, keep: Sequence[bool]) -> None:
        """Forget it."""

    def scored(self, profile: str, plugin: str, weight: float, view: SchedulingView, scores: Sequence[float]) -> None:
        """Forget it."""

    def picked(self, profile: str, view: SchedulingView, totals: Sequence[float], chosen: Sequence[int]) -> None:
        """Forget it."""


NO_TRACE = NoTrace()


def run_profile(profile: Profile, view: SchedulingView, trace: Trace = NO_TRACE) -> ProfileResult | None:
    """The profile's choice; None when its filters left nobody."""
    for name, filter_ in profile.filters:
        keep = filter_.keep(view)
        trace.filtered(profile.name, name, view, keep)
        view = view.narrowed(keep)
        if not view.states:
            return None
    totals = [0.0] * len(view.states)
    for weighted in profile.scorers:
        scores = clamped(weighted.scorer.score(view))
        trace.scored(profile.name, weighted.name, weighted.weight, view, scores)
        if not any(scores):
            continue
        weight = weighted.weight
        totals = [total + weight * score for total, score in zip(totals, scores, strict=True)]
    chosen = with_fallbacks(profile.picker.pick(totals, view), totals, view)
    trace.picked(profile.name, view, totals, chosen)
    return ProfileResult(view, totals, chosen)


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
    if not scores or (min(scores) >= 0.0 and max(scores) <= 1.0 and sum(scores) >= 0.0):
        return scores
    return [score if 0.0 <= score <= 1.0 else (1.0 if score > 1.0 else 0.0) for score in scores]
