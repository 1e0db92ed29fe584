"""A pool's endpoints over time: slots, capacities, subsets."""

from collections.abc import Callable
from random import Random

import pytest

from epp.datalayer.builtin import Builtin
from epp.datalayer.events import Configured, PrefixSettings
from epp.datalayer.producers import prefixes
from epp.datalayer.producers.prefix_holding import DEFAULT_CAPACITY_BLOCKS
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolSpec
from tests.unit.epp.views import POOL, pool_of, scraped, spec_of

BLOCKS = tuple(range(1, 101))


def test_a_slot_is_reused_only_after_its_endpoint_is_forgotten() -> None:
    pool, known = pool_of(spec_of("a", "b"))
    slot = pool.roster.members[EndpointId("a")].slot
    known.prefixes.index.learn(slot, BLOCKS)
    pool.replace(spec_of("b"), 1.0)
    pool.replace(spec_of("b", "c", "d"), 2.0)
    slots = [member.slot for member in pool.roster.members.values()]
    assert len(set(slots)) == 3
    assert slot in slots
    assert known.prefixes.index.match(BLOCKS) == {}


def test_an_endpoint_that_stays_keeps_its_state_and_takes_its_new_labels() -> None:
    pool, known = pool_of(spec_of("a"))
    scraped(pool, "a", EngineMetrics(waiting=7), 1.0)
    labelled = Endpoint(EndpointId("a"), "a", 8000, "a", {"zone": "x"})
    pool.replace(PoolSpec(POOL, (labelled,)), 2.0)
    member = pool.roster.members[EndpointId("a")]
    assert known.load.of(member.slot, 2.0).load.waiting == 7
    assert member.endpoint.labels == {"zone": "x"}


def held(known: Builtin, count: int) -> int:
    index = known.prefixes.index
    index.learn(0, tuple(range(1, count + 1)))
    return index.held(0)


def test_capacity_follows_the_engine_in_our_block_size() -> None:
    pool, known = pool_of(spec_of("a"), block_tokens=64)
    assert held(known, 10) == 10
    scraped(pool, "a", EngineMetrics(block_size=16, block_count=20), 1.0)
    assert held(known, 10) == 5


def test_capacity_follows_what_the_engine_counts_as_a_token() -> None:
    pool, known = pool_of(spec_of("a"), block_tokens=64)
    scraped(pool, "a", EngineMetrics(block_size=16, block_count=40), 1.0)
    assert held(known, 30) == 10
    for _ in range(300):
        known.prefixes.token_scale.learn(estimated=1000, counted=500)
    pool.replace(spec_of("a"), 2.0)
    assert held(known, 30) == 19  # a little below twice as many: the factor only approaches a half


def configured(capacity: int, *, follows_engine: bool, block_tokens: Callable[[int | None], int]) -> Configured:
    return Configured(PrefixSettings(block_tokens, capacity, follows_engine), 300.0)


def test_capacity_is_the_configured_one_where_the_engine_is_not_followed_or_says_nothing() -> None:
    pool, known = pool_of(spec_of("a"), block_tokens=64)
    pool.handle(configured(3, follows_engine=True, block_tokens=lambda _: 64), 0.5)
    assert held(known, 10) == 3
    scraped(pool, "a", EngineMetrics(block_size=16, block_count=20), 1.0)
    assert held(known, 10) == 5
    pool.handle(configured(3, follows_engine=False, block_tokens=lambda _: 64), 1.5)
    assert held(known, 10) == 3


def test_many_endpoints_share_the_bound_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "POOL_BLOCKS_LIMIT", 2 * DEFAULT_CAPACITY_BLOCKS)
    pool, known = pool_of(spec_of("a", "b", "c", "d"))
    assert held(known, DEFAULT_CAPACITY_BLOCKS) == DEFAULT_CAPACITY_BLOCKS // 2
    pool.replace(spec_of("a"), 1.0)
    assert held(known, DEFAULT_CAPACITY_BLOCKS) == DEFAULT_CAPACITY_BLOCKS


def test_another_block_size_forgets_what_was_learned_in_the_old_one() -> None:
    pool, known = pool_of(spec_of("a"), block_tokens=64)
    known.prefixes.index.learn(0, BLOCKS)
    pool.handle(configured(31_250, follows_engine=True, block_tokens=lambda _: 64), 1.0)
    assert len(known.prefixes.index) == 100
    pool.handle(configured(31_250, follows_engine=True, block_tokens=lambda _: 32), 2.0)
    assert len(known.prefixes.index) == 0


def test_candidates_are_those_of_the_subset_and_never_more() -> None:
    pool, _ = pool_of(spec_of("a", "b"))
    for name in ("a", "b"):
        scraped(pool, name, EngineMetrics(), 0.1)
    random = Random(1)
    assert [member.id for member in pool.candidates(0.2, random).members] == ["a", "b"]
    assert [member.id for member in pool.candidates(0.2, random, ("b", "z")).members] == ["b"]
    assert pool.candidates(0.2, random, ()).members == []
