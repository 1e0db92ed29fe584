"""Which producers a configuration wants: the prefix index, and how sessions are bound. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from epp.config.catalogue import PLUGINS
from epp.config.listing import Listing
from epp.config.profiles import Built
from epp.datalayer.producer import Producer
from epp.domain import PoolId
from epp.scheduling.handlers import PrefixBasedPdDecider
from epp.scheduling.producers import ApproxPrefixCacheProducer, SessionIdProducer
from epp.scheduling.roles import PRODUCER
from epp.scheduling.scorers import PrefixCacheScorer
from epp.scheduling.sessions import SessionAffinityFilter, SessionAffinityScorer

Affinity = SessionAffinityFilter | SessionAffinityScorer
_AFFINITIES = (SessionAffinityFilter, SessionAffinityScorer)


def prefix_producer(listing: Listing) -> ApproxPrefixCacheProducer:
    """The configured producer; without one the default, with what an older configuration gave the scorer."""
    found: ApproxPrefixCacheProducer | None = listing.only(ApproxPrefixCacheProducer)
    if found is not None:
        return found
    producer: ApproxPrefixCacheProducer = listing.default("approx-prefix-cache-producer")
    scorers = (each.plugin for each in listing.by_name.values() if each.cls is PrefixCacheScorer)
    scorer: PrefixCacheScorer | None = next(scorers, None)
    given: dict[str, Any] = {} if scorer is None else scorer.of_the_producer()
    if "max_prefix_blocks_to_match" in given and "max_prefix_tokens_to_match" not in given:
        given["max_prefix_tokens_to_match"] = 0
    return replace(producer, **given)


def uses_prefix(listing: Listing, profiles: Sequence[Built]) -> bool:
    """Whether anything reads matches. An own plugin may, so it counts."""
    if any(listed.reads_prefix for built in profiles for listed in built.members):
        return True
    return any(each.cls in (ApproxPrefixCacheProducer, PrefixBasedPdDecider) for each in listing.by_name.values())


def own_producers(listing: Listing) -> tuple[tuple[str, Callable[[PoolId], Producer]], ...]:
    """What makes the producers of the user's own plugins, one for each pool, with the plugins' names."""
    return tuple((each.name, each.plugin.producer) for each in listing.with_role(PRODUCER) if each.type not in PLUGINS)


def affinity_of(profiles: Sequence[Built]) -> Affinity | None:
    """The plugin whose strategy binds sessions; the first of several."""
    for plugin in _affinities(profiles):
        by_id = plugin.session_id_config
        return plugin if by_id is None else replace(plugin, eviction_ttl_seconds=by_id.eviction_ttl_seconds)
    return None


def token_headers(profiles: Sequence[Built]) -> tuple[str, ...]:
    """The headers in which clients may send session tokens back, each once: an answer carries them all."""
    plugins = [plugin for plugin in _affinities(profiles) if plugin.strategy == "encoded_endpoint_header"]
    return tuple(dict.fromkeys(plugin.token_header for plugin in plugins))


def session_ids(affinity: Affinity | None) -> SessionIdProducer | None:
    """Where session ids stand, if the affinity plugin itself names it."""
    by_id = None if affinity is None else affinity.session_id_config
    return None if by_id is None or not by_id.headers else SessionIdProducer(headers=by_id.headers)


def _affinities(profiles: Sequence[Built]) -> Iterator[Affinity]:
    return (listed.plugin for built in profiles for listed in built.members if listed.cls in _AFFINITIES)
