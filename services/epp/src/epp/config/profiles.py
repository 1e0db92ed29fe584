"""Puts a profile together from the plugins that a configuration lists. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.config.document import Value
from epp.scheduling.plugin import Filter, Picker, Profile, Scorer, WeightedScorer
from epp.scheduling.sessions import SessionAffinityFilter, SessionAffinityScorer


@dataclass(frozen=True, slots=True)
class Listed:
    """A plugin as the file lists it."""

    name: str
    type: str
    plugin: object
    value: Value | None = None


class ProfileBuilder:
    """Collects the parts of one profile."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filters: list[tuple[str, Filter]] = []
        self.scorers: list[WeightedScorer] = []
        self.picker: Picker | None = None
        self.has_two_pickers = False

    def add(self, listed: Listed, weight: float, *, is_explicit: bool = True) -> bool:
        """Give a plugin its parts in this profile; False if it has none."""
        plugin, has_part = listed.plugin, False
        if isinstance(plugin, Filter):
            self.filters.append((listed.name, plugin))
            has_part = True
        if isinstance(plugin, Scorer):
            self.scorers.append(WeightedScorer(listed.name, plugin, weight))
            has_part = True
        if isinstance(plugin, Picker):
            self.has_two_pickers = self.picker is not None and is_explicit
            self.picker = self.picker or plugin
            has_part = True
        return has_part

    def build(self, default_picker: Picker) -> Profile:
        """The profile; `default_picker` where none was added."""
        return Profile(self.name, tuple(self.filters), tuple(self.scorers), self.picker or default_picker)


def session_affinity(profiles: Sequence[Profile]) -> SessionAffinityFilter | SessionAffinityScorer | None:
    """The plugin whose strategy binds sessions; the first of several."""
    for profile in profiles:
        for plugin in [plugin for _, plugin in profile.filters] + [weighted.scorer for weighted in profile.scorers]:
            if isinstance(plugin, SessionAffinityFilter | SessionAffinityScorer):
                return plugin
    return None


def reads_prefix(plugin: object) -> bool:
    """Whether a plugin's answer depends on matches."""
    return hasattr(plugin, "prefix_match_info_producer_name")
