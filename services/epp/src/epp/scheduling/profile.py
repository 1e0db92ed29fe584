"""Runs one profile: filters in order, scorers summed by weight, the picker. Pure."""

from collections.abc import Callable, Sequence
from heapq import nlargest
from operator import add, index

from epp.scheduling.containing import in_words
from epp.scheduling.plugin import Filter, Picker, Profile, ProfileResult, Trace
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
        view = _filtered(profile.name, name, filter_, view, trace)
        if not view.endpoints:
            return None
    count = len(view.endpoints)
    totals: list[float] = []
    for name, scorer, weight in profile.scorers:
        try:
            scores = scorer.score(view)
            if len(scores) != count:
                raise _wrong_count(len(scores), view)
            has_opinion = any(scores)
            if has_opinion:
                scores = clamped(scores)
        except Exception as error:  # noqa: BLE001 - nothing is known of what somebody's plugin raises
            trace.failed(name, in_words(error))
            continue
        trace.scored(profile.name, name, weight, view, scores)
        if has_opinion:
            weighted = map(float(weight).__mul__, scores)
            totals = [*map(add, totals, weighted)] if totals else [*weighted]
    totals = totals or [0.0] * count
    chosen = with_fallbacks(_picked(profile.picker, totals, view, trace), totals, view)
    trace.picked(profile.name, view, totals, chosen)
    return ProfileResult(view, totals, chosen)


def _filtered(profile: str, name: str, filter_: Filter, view: SchedulingView, trace: Trace) -> SchedulingView:
    """The view of those that a filter keeps."""
    try:
        keep = filter_.keep(view)
        if len(keep) != len(view.endpoints):
            raise _wrong_count(len(keep), view)
        narrower = view.narrowed(keep)
    except Exception as error:  # noqa: BLE001 - as above
        trace.failed(name, in_words(error))
        return view
    trace.filtered(profile, name, view, keep)
    return narrower


def _wrong_count(answers: int, view: SchedulingView) -> ValueError:
    return ValueError(f"expected {len(view.endpoints)} answers, one for each candidate, got {answers}")


def _picked(picker: Picker, totals: Sequence[float], view: SchedulingView, trace: Trace) -> Sequence[int]:
    """A picker's choice; nothing where it fails."""
    try:
        chosen = [*map(index, picker.pick(totals, view))]
        if len(chosen) == 1 and 0 <= chosen[0] < len(totals):  # what most pickers answer
            return chosen
        if not chosen or min(chosen) < 0 or max(chosen) >= len(totals) or len(set(chosen)) < len(chosen):
            raise ValueError(f"expected positions below {len(totals)}, each once, got {chosen!r}")
    except Exception as error:  # noqa: BLE001 - as above
        trace.failed(type(picker).__name__, in_words(error))
        return ()
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
