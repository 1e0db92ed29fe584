"""The prefix index: strict matches, LRU decay from the end, exact forgetting."""

import tracemalloc

from epp.datalayer.producers.prefix_index import PrefixIndex, Touches, chain, seed_of, stamp_at

SEED = seed_of("model", "")


def blocks(text: str, size: int = 4) -> tuple[int, ...]:
    return chain(text.encode(), SEED, size, 1000)


def touched(touches: Touches) -> list[int | None]:
    return [stamp_at(touches, number) for number in range(sum(count for count, _ in touches))]


def test_a_chain_has_one_hash_per_full_block() -> None:
    assert len(blocks("abcdefgh")) == 2
    assert len(blocks("abcdefghi")) == 2
    assert blocks("abc") == ()
    assert len(chain(b"x" * 100, SEED, 4, 3)) == 3


def test_equal_blocks_after_different_starts_differ() -> None:
    assert blocks("aaaabbbb")[1] != blocks("ccccbbbb")[1]
    assert blocks("aaaabbbb")[0] == blocks("aaaacccc")[0]


def test_model_and_salt_keep_prompts_apart() -> None:
    prompt = b"x" * 64
    chains = {chain(prompt, seed_of(*seed), 4, 100) for seed in (("m", ""), ("n", ""), ("m", "s"))}
    assert len(chains) == 3


def test_a_match_is_the_longest_unbroken_run_per_endpoint() -> None:
    index = PrefixIndex()
    prompt = blocks("aaaabbbbccccdddd")
    index.learn(0, prompt)
    index.learn(1, prompt[:2])
    index.learn(2, blocks("zzzz"))
    assert index.match(prompt) == {0: 4, 1: 2}
    assert index.match(blocks("aaaaXXXXcccc")) == {0: 1, 1: 1}
    assert index.match(blocks("zzzzbbbb")) == {2: 1}
    assert index.match(()) == {}


def test_an_endpoint_that_lost_an_early_block_does_not_match_its_later_ones() -> None:
    index = PrefixIndex()
    prompt = blocks("aaaabbbbcccc")
    index.learn(0, prompt)
    index.unlearn(0, prompt[:2], 1)
    assert index.match(prompt) == {0: 1}


def test_the_least_recently_used_chain_goes_first_and_from_its_end() -> None:
    index = PrefixIndex()
    index.set_capacity(0, 4)
    old, new = blocks("aaaabbbbcccc"), blocks("xxxxyyyy")
    index.learn(0, old)
    index.learn(0, new)
    assert index.match(old) == {0: 2}
    assert index.match(new) == {0: 2}
    index.learn(0, old[:1])
    index.learn(0, blocks("qqqqrrrr"))
    assert index.match(old) == {0: 1}


def test_a_prompt_larger_than_the_cache_keeps_its_start() -> None:
    index = PrefixIndex()
    index.set_capacity(0, 2)
    prompt = blocks("aaaabbbbccccdddd")
    index.learn(0, prompt)
    assert index.match(prompt) == {0: 2}


def test_a_smaller_capacity_evicts_at_once() -> None:
    index = PrefixIndex()
    prompt = blocks("aaaabbbbcccc")
    index.learn(0, prompt)
    index.set_capacity(0, 1)
    assert (index.match(prompt), index.held(0), len(index)) == ({0: 1}, 1, 1)


def test_forgetting_an_endpoint_leaves_the_others() -> None:
    index = PrefixIndex()
    prompt = blocks("aaaabbbb")
    index.learn(0, prompt)
    index.learn(1, prompt)
    index.forget(0)
    assert index.match(prompt) == {1: 2}
    index.forget(1)
    assert len(index) == 0


def test_what_is_older_than_an_evicted_block_is_evicted_too() -> None:
    index = PrefixIndex()
    oldest, middle, newest = blocks("aaaa"), blocks("bbbb"), blocks("cccc")
    for each in (oldest, middle, newest):
        index.learn(0, each)
    ((_, stamp),) = index.learn(0, middle)
    index.learn(0, newest)
    assert stamp is not None
    assert index.forget_older(0, stamp) == 1
    assert (index.match(oldest), index.match(middle), index.match(newest)) == ({}, {0: 1}, {0: 1})


def test_learning_tells_when_each_block_was_touched_before() -> None:
    index = PrefixIndex()
    prompt = blocks("aaaabbbbccccdddd")
    assert touched(index.learn(0, prompt[:3])) == [None, None, None]
    index.learn(0, prompt[:2])
    assert touched(index.learn(0, prompt)) == [2, 2, 1, None]
    assert touched(index.learn(1, prompt[:1])) == [None]


def test_touching_a_prompt_again_and_again_takes_no_more_room() -> None:
    index = PrefixIndex()
    other, prompt = blocks("zzzz"), blocks("aaaabbbb")
    index.learn(0, other)
    tracemalloc.start()
    for _ in range(10_000):
        index.learn(0, prompt)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 20_000


def test_a_conversation_that_grows_stays_one_run() -> None:
    """Otherwise each turn would take the room of a run, and each look-up a step for each turn."""
    index, text = PrefixIndex(), "aaaabbbb" * 50
    for turn in range(1, 101):
        index.learn(0, blocks(text[: 4 * turn]))
    assert len(index._runs) == 1
    assert index.match(blocks(text)) == {0: 100}


def test_prompts_that_part_share_what_is_before() -> None:
    index, shared = PrefixIndex(), "aaaabbbbcccc"
    for number in range(20):
        index.learn(number % 2, blocks(f"{shared}{number:04}"))
    assert len(index) == 3 + 20
    assert index.match(blocks(f"{shared}0007")) == {0: 3, 1: 4}


def test_a_prefix_that_many_share_is_cut_once_and_not_by_each() -> None:
    index = PrefixIndex()
    index.learn(0, (1, 2, 3, 11, 12))
    index.learn(0, (1, 2, 3, 21, 22))
    for turn in range(3, 9):
        assert index.learn(0, (1, 2, 3, 10 * turn, 10 * turn + 1)) == ((3, turn - 1), (2, None))
        assert list(index._runs[1]) == [1, 2, 3]
    assert index.match((1, 2, 3, 80, 81)) == {0: 5}


def test_slots_beyond_a_machine_word_work() -> None:
    index = PrefixIndex()
    prompt = blocks("aaaabbbb")
    for slot in (0, 63, 64, 500, 999):
        index.learn(slot, prompt[: 1 + slot % 2])
    assert index.match(prompt) == {0: 1, 63: 2, 64: 1, 500: 1, 999: 2}
