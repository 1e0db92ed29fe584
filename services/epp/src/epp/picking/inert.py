"""Plugins that make no difference: an affinity that never engages is told of once, not found after months. Pure.

A trace of every few decisions, in front of the one that explains them. A filter makes a difference when it removes a
candidate, a scorer when its scores differ. After enough decisions those that never did are reported, and it is over
until the configuration changes.
"""

from collections.abc import Callable, Sequence
from typing import Final

from epp.scheduling.plugin import Trace
from epp.scheduling.view import SchedulingView

# One decision of so many is looked at: comparing all scores of each would cost a fiftieth of it.
ONE_OF: Final = 8
# So many are looked at before anything is said.
DECISIONS: Final = 1000


class InertPlugins:
    """Which plugins made a difference since the configuration was read."""

    def __init__(self, report: Callable[[Sequence[str], int], None]) -> None:
        self._report = report
        self._decisions = 0
        self._plugins: dict[str, bool] = {}  # name -> whether it ever made a difference

    def forget(self) -> None:
        """Plugins may be others from now on."""
        self._decisions = 0
        self._plugins.clear()

    def looks_at(self, number: int) -> bool:
        """Whether this decision should be traced."""
        return number % ONE_OF == 0 and self._decisions < DECISIONS

    def trace(self, behind: Trace) -> Trace:
        """A trace of one decision, which passes everything on."""
        return _Traced(self, behind)

    def ran(self, plugin: str, *, made_a_difference: bool) -> None:
        """A plugin ran on several candidates."""
        self._plugins[plugin] = made_a_difference or self._plugins.get(plugin, False)

    def decided(self) -> None:
        """A decision among several candidates ended."""
        self._decisions += 1
        if self._decisions == DECISIONS:
            inert = [name for name, made_a_difference in self._plugins.items() if not made_a_difference]
            if inert:
                self._report(inert, DECISIONS)


class _Traced:
    def __init__(self, inert: InertPlugins, behind: Trace) -> None:
        self._inert = inert
        self._behind = behind

    def filtered(self, profile: str, plugin: str, before: SchedulingView, keep: Sequence[bool]) -> None:
        if len(keep) > 1:
            self._inert.ran(plugin, made_a_difference=not all(keep))
        self._behind.filtered(profile, plugin, before, keep)

    def scored(self, profile: str, plugin: str, weight: float, view: SchedulingView, scores: Sequence[float]) -> None:
        if len(scores) > 1:
            self._inert.ran(plugin, made_a_difference=min(scores) < max(scores))
        self._behind.scored(profile, plugin, weight, view, scores)

    def picked(self, profile: str, view: SchedulingView, totals: Sequence[float], chosen: Sequence[int]) -> None:
        if len(totals) > 1:
            self._inert.decided()
        self._behind.picked(profile, view, totals, chosen)

    def failed(self, plugin: str, error: str) -> None:
        self._behind.failed(plugin, error)
