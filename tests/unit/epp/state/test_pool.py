"""A pool's endpoints over time: slots, capacities, subsets."""

from random import Random

import pytest

from epp.datalayer import pool as pools
from epp.datalayer.pool import PoolState
from epp.datalayer.prefix import DEFAULT_CAPACITY_BLOCKS
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec

POOL = PoolId("default/pool")
BLOCKS = tuple(range(1, 101))


def spec(*names: str) -> PoolSpec:
    return PoolSpec(POOL, tuple(Endpoint(EndpointId(name), name, 8000, name) for name in names))


def test_a_slot_is_reused_only_after_its_endpoint_is_forgotten() -> None:
    pool = PoolState(spec("a", "b"), 0.0)
    slot = pool.states[EndpointId("a")].slot
    pool.index.learn(slot, BLOCKS)
    pool.replace(spec("b"), 1.0)
    pool.replace(spec("b", "c", "d"), 2.0)
    slots = [state.slot for state in pool.states.values()]
    assert len(set(slots)) == 3
    assert slot in slots
    assert pool.index.match(BLOCKS) == {}


def test_an_endpoint_that_stays_keeps_its_state_and_takes_its_new_labels() -> None:
    pool = PoolState(spec("a"), 0.0)
    pool.observe(EndpointId("a"), EngineMetrics(waiting=7), 1.0)
    labelled = Endpoint(EndpointId("a"), "a", 8000, "a", {"zone": "x"})
    pool.replace(PoolSpec(POOL, (labelled,)), 2.0)
    state = pool.states[EndpointId("a")]
    assert state.load.waiting == 7
    assert state.endpoint.labels == {"zone": "x"}


def held(pool: PoolState, count: int) -> int:
    state = next(iter(pool.states.values()))
    pool.index.learn(state.slot, tuple(range(1, count + 1)))
    return pool.index.held(state.slot)


def test_capacity_follows_the_engine_in_our_block_size() -> None:
    pool = PoolState(spec("a"), 0.0)
    pool.set_blocks(64)
    assert held(pool, 10) == 10
    pool.observe(EndpointId("a"), EngineMetrics(block_size=16, block_count=20), 1.0)
    assert held(pool, 10) == 5


def test_capacity_follows_what_the_engine_counts_as_a_token() -> None:
    pool = PoolState(spec("a"), 0.0)
    pool.set_blocks(64)
    pool.observe(EndpointId("a"), EngineMetrics(block_size=16, block_count=40), 1.0)
    assert held(pool, 30) == 10
    for _ in range(300):
        pool.learn_tokens(pool.states[EndpointId("a")], estimated=1000, counted=500)
    assert held(pool, 30) == 19  # a little below twice as many: the factor only approaches a half


def test_capacity_is_the_configured_one_where_the_engine_is_not_followed_or_says_nothing() -> None:
    pool = PoolState(spec("a"), 0.0)
    pool.set_blocks(64)
    pool.set_capacity(3, follows_engine=True)
    assert held(pool, 10) == 3
    pool.observe(EndpointId("a"), EngineMetrics(block_size=16, block_count=20), 1.0)
    assert held(pool, 10) == 5
    pool.set_capacity(3, follows_engine=False)
    assert held(pool, 10) == 3


def test_many_endpoints_share_the_bound_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "POOL_BLOCKS_LIMIT", 2 * DEFAULT_CAPACITY_BLOCKS)
    pool = PoolState(spec("a", "b", "c", "d"), 0.0)
    assert held(pool, DEFAULT_CAPACITY_BLOCKS) == DEFAULT_CAPACITY_BLOCKS // 2
    pool.replace(spec("a"), 1.0)
    assert held(pool, DEFAULT_CAPACITY_BLOCKS) == DEFAULT_CAPACITY_BLOCKS


def test_another_block_size_forgets_what_was_learned_in_the_old_one() -> None:
    pool = PoolState(spec("a"), 0.0)
    pool.set_blocks(64)
    pool.index.learn(0, BLOCKS)
    pool.set_blocks(64)
    assert len(pool.index) == 100
    pool.set_blocks(32)
    assert len(pool.index) == 0


def test_candidates_are_those_of_the_subset_and_never_more() -> None:
    pool = PoolState(spec("a", "b"), 0.0)
    for name in ("a", "b"):
        pool.observe(EndpointId(name), EngineMetrics(), 0.1)
    random = Random(1)
    assert [state.id for state in pool.candidates(0.2, random)] == ["a", "b"]
    assert [state.id for state in pool.candidates(0.2, random, ("b", "z"))] == ["b"]
    assert pool.candidates(0.2, random, ()) == []
