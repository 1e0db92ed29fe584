"""Puts a profile together from the plugins that a configuration lists. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from epp.config.listing import Listed
from epp.scheduling.plugin import Filter, Picker, Profile, Scorer, WeightedScorer
from epp.scheduling.producers import SessionIdProducer
from epp.scheduling.sessions import SessionAffinityFilter, SessionAffinityScorer


class ProfileBuilder:
    """Collects the parts of one profile."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filters: list[tuple[str, Filter]] = []
        self.scorers: list[WeightedScorer] = []
        self.picker: Picker | None = None
        self.has_two_pickers = False

    def add(self, listed: Listed, weight: float) -> bool:
        """Give a plugin its parts in this profile; False if it has none."""
        plugin, has_part = listed.plugin, False
        if isinstance(plugin, Filter):
            self.filters.append((listed.name, plugin))
            has_part = True
        if isinstance(plugin, Scorer):
            self.scorers.append(WeightedScorer(listed.name, plugin, weight))
            has_part = True
        if isinstance(plugin, Picker):
            self.has_two_pickers = self.picker is not None
            self.picker = self.picker or plugin
            has_part = True
        return has_part

    def build(self, default_picker: Picker) -> Profile:
        """The profile; `default_picker` where none was added."""
        return Profile(self.name, tuple(self.filters), tuple(self.scorers), self.picker or default_picker)


def session_affinity(profiles: Sequence[Profile]) -> SessionAffinityFilter | SessionAffinityScorer | None:
    """The plugin whose strategy binds sessions; the first of several."""
    for plugin in _affinities(profiles):
        by_id = plugin.session_id_config
        return plugin if by_id is None else replace(plugin, eviction_ttl_seconds=by_id.eviction_ttl_seconds)
    return None


def token_headers(profiles: Sequence[Profile]) -> tuple[str, ...]:
    """The headers in which clients may send session tokens back, each once: an answer carries them all."""
    plugins = [plugin for plugin in _affinities(profiles) if plugin.strategy == "encoded_endpoint_header"]
    return tuple(dict.fromkeys(plugin.token_header for plugin in plugins))


def _affinities(profiles: Sequence[Profile]) -> Iterator[SessionAffinityFilter | SessionAffinityScorer]:
    for profile in profiles:
        for plugin in [plugin for _, plugin in profile.filters] + [weighted.scorer for weighted in profile.scorers]:
            if isinstance(plugin, SessionAffinityFilter | SessionAffinityScorer):
                yield plugin


def session_ids(affinity: SessionAffinityFilter | SessionAffinityScorer | None) -> SessionIdProducer | None:
    """Where the affinity plugin itself says that session ids stand."""
    by_id = None if affinity is None else affinity.session_id_config
    return None if by_id is None or not by_id.headers else SessionIdProducer(headers=by_id.headers)


def reads_prefix(plugin: object) -> bool:
    """Whether a plugin's answer depends on matches."""
    return hasattr(plugin, "prefix_match_info_producer_name")
