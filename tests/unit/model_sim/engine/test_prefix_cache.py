"""What is found in the cache again, and what is evicted first."""

import pytest

from tests.unit.model_sim.engine.steps import FOREVER, ends, engine, request


def test_a_repeated_prompt_hits_its_whole_blocks_but_never_its_last_token():
    sim = engine(block_size=4)
    hashes = (1, 2, 3)
    sim.submit(request("first", prompt=8, output=1, block_hashes=hashes), 0.0)
    sim.step(1.0)
    sim.submit(request("again", prompt=8, output=1, block_hashes=hashes), 1.0)

    completion = ends(sim.step(FOREVER))["again"]

    assert completion.cached_tokens == 4
    assert completion.first_token - 1.0 == pytest.approx(0.010 + 4 * 0.001)


def test_an_answer_is_cached_for_the_next_turn():
    sim = engine(block_size=4)
    sim.submit(request("turn", prompt=4, output=9, block_hashes=(1, 2, 3)), 0.0)
    sim.step(1.0)
    sim.submit(request("next", prompt=14, output=1, block_hashes=(1, 2, 3)), 1.0)

    assert ends(sim.step(FOREVER))["next"].cached_tokens == 12


def test_only_the_contiguous_prefix_counts_as_a_hit():
    sim = engine(block_size=4)
    sim.submit(request("a", prompt=13, output=1, block_hashes=(1, 2, 3)), 0.0)
    sim.step(1.0)
    sim.submit(request("b", prompt=13, output=1, block_hashes=(1, 99, 3)), 1.0)

    assert ends(sim.step(FOREVER))["b"].cached_tokens == 4


def test_the_tail_of_a_chain_is_evicted_before_its_head():
    sim = engine(num_gpu_blocks=4, block_size=4)
    sim.submit(request("chain", prompt=16, output=1, block_hashes=(1, 2, 3, 4)), 0.0)
    sim.step(1.0)
    sim.submit(request("other", prompt=8, output=1, block_hashes=(11, 12)), 1.0)
    sim.step(2.0)
    sim.submit(request("chain again", prompt=16, output=1, block_hashes=(1, 2, 3, 4)), 2.0)

    assert ends(sim.step(FOREVER))["chain again"].cached_tokens == 8


def test_prefix_caching_can_be_switched_off():
    sim = engine(block_size=4, enable_prefix_caching=False)
    for start in (0.0, 1.0):
        sim.submit(request(f"at {start}", prompt=8, output=1, block_hashes=(1, 2)), start)
        outputs = sim.step(start + 0.9)

    assert ends(outputs)["at 1.0"].cached_tokens == 0
    assert sim.metrics.prefix_cache_queries == 0


def test_resetting_the_prefix_cache_waits_for_nobody_and_is_refused_while_blocks_are_held():
    sim = engine(block_size=4)
    sim.submit(request("a", prompt=8, output=3, block_hashes=(1, 2)), 0.0)
    sim.step(0.019)
    refused = sim.reset_prefix_cache()
    sim.step(1.0)

    assert not refused
    assert sim.reset_prefix_cache()
    assert sim.snapshot().blocks_cached == 0
