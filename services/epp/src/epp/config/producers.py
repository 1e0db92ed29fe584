"""Which producers a configuration wants: the prefix index, and how sessions are bound. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from epp.config.catalogue import PLUGINS
from epp.config.listing import Listing
from epp.scheduling.handlers import PrefixBasedPdDecider
from epp.scheduling.plugin import Profile
from epp.scheduling.producers import ApproxPrefixCacheProducer, SessionIdProducer
from epp.scheduling.scorers import PrefixCacheScorer
from epp.scheduling.sessions import SessionAffinityFilter, SessionAffinityScorer

Affinity = SessionAffinityFilter | SessionAffinityScorer


def prefix_producer(listing: Listing) -> ApproxPrefixCacheProducer:
    """The configured producer; without one the default, with what an older configuration gave the scorer."""
    found = listing.only(ApproxPrefixCacheProducer)
    if isinstance(found, ApproxPrefixCacheProducer):
        return found
    producer: ApproxPrefixCacheProducer = listing.default("approx-prefix-cache-producer")
    plugins = (each.plugin for each in listing.by_name.values())
    scorer = next((plugin for plugin in plugins if isinstance(plugin, PrefixCacheScorer)), None)
    given: dict[str, Any] = {} if scorer is None else scorer.of_the_producer()
    if "max_prefix_blocks_to_match" in given and "max_prefix_tokens_to_match" not in given:
        given["max_prefix_tokens_to_match"] = 0
    return replace(producer, **given)


def uses_prefix(listing: Listing, profiles: Sequence[Profile]) -> bool:
    """Whether anything reads matches. An own plugin may, so it counts."""
    listed = listing.by_name.values()
    own_types = {type(each.plugin) for each in listed if each.type not in PLUGINS}
    plugins = [plugin for profile in profiles for plugin in _plugins(profile)]
    if any(_reads_prefix(plugin) or type(plugin) in own_types for plugin in plugins):
        return True
    return any(isinstance(each.plugin, ApproxPrefixCacheProducer | PrefixBasedPdDecider) for each in listed)


def affinity_of(profiles: Sequence[Profile]) -> Affinity | None:
    """The plugin whose strategy binds sessions; the first of several."""
    for plugin in _affinities(profiles):
        by_id = plugin.session_id_config
        return plugin if by_id is None else replace(plugin, eviction_ttl_seconds=by_id.eviction_ttl_seconds)
    return None


def token_headers(profiles: Sequence[Profile]) -> tuple[str, ...]:
    """The headers in which clients may send session tokens back, each once: an answer carries them all."""
    plugins = [plugin for plugin in _affinities(profiles) if plugin.strategy == "encoded_endpoint_header"]
    return tuple(dict.fromkeys(plugin.token_header for plugin in plugins))


def session_ids(affinity: Affinity | None) -> SessionIdProducer | None:
    """Where session ids stand, if the affinity plugin itself names it."""
    by_id = None if affinity is None else affinity.session_id_config
    return None if by_id is None or not by_id.headers else SessionIdProducer(headers=by_id.headers)


def _affinities(profiles: Sequence[Profile]) -> Iterator[Affinity]:
    for profile in profiles:
        for plugin in _plugins(profile):
            if isinstance(plugin, Affinity):
                yield plugin


def _plugins(profile: Profile) -> list[object]:
    return [*(plugin for _, plugin in profile.filters), *(weighted.scorer for weighted in profile.scorers)]


def _reads_prefix(plugin: object) -> bool:
    """Whether a plugin's answer depends on matches."""
    return hasattr(plugin, "prefix_match_info_producer_name")
