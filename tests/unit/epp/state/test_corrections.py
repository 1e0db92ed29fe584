"""What an engine's count of cached tokens teaches about everything it holds."""

from epp.datalayer.learning import correct_matches
from epp.datalayer.ledger import Reservation, Share
from epp.datalayer.pool import PoolState
from epp.domain import Endpoint, EndpointId, Feedback, PickId, PoolId, PoolSpec

POOL = PoolId("pool")
ENDPOINT = EndpointId("a:80")
BLOCK_TOKENS = 64
SYSTEM = tuple(range(10))


def conversation(number: int) -> tuple[int, ...]:
    return (*SYSTEM, *range(1000 * number, 1000 * number + 30))


def pool() -> PoolState:
    made = PoolState(PoolSpec(POOL, (Endpoint(ENDPOINT, "a", 80, "a"),)), 0.0)
    made.set_blocks(BLOCK_TOKENS)
    return made


def answered(pool: PoolState, blocks: tuple[int, ...], cached_tokens: int, engine_tokens: int) -> None:
    """The endpoint served these blocks again, and had so many of the prompt's tokens cached."""
    state = pool.states[ENDPOINT]
    stamps = pool.index.learn(state.slot, blocks)
    tokens = len(blocks) * BLOCK_TOKENS
    pick = PickId("r-1")
    reservation = Reservation(
        id=pick,
        pool=POOL,
        shares=(Share(state, 0),),
        model="m",
        target_model="m",
        objective="",
        fairness_id="",
        prompt_tokens=tokens,
        matched_tokens=tokens,
        ahead_tokens=0,
        block_tokens=BLOCK_TOKENS,
        blocks=blocks,
        new_from=len(blocks),
        picked_at=0.0,
        heard_at=0.0,
        stamps=stamps,
    )
    told = Feedback(
        pick, POOL, is_final=True, served=ENDPOINT, status=200, prompt_tokens=engine_tokens, cached_tokens=cached_tokens
    )
    correct_matches(pool, state, reservation, told)


def test_an_evicted_conversation_takes_along_what_is_older_and_nothing_that_is_newer() -> None:
    made = pool()
    for number in (1, 2, 3):
        made.index.learn(0, conversation(number))
    answered(made, conversation(2), cached_tokens=10 * BLOCK_TOKENS, engine_tokens=40 * BLOCK_TOKENS)
    assert made.index.match(conversation(1)) == {0: 10}
    assert made.index.match(conversation(2)) == {0: 40}
    assert made.index.match(conversation(3)) == {0: 40}


def test_a_match_that_ends_within_a_shared_prefix_by_estimate_does_not_empty_the_index() -> None:
    """The engine had the shared 10 blocks and no more; by its own tokens they seem to end within the tenth."""
    made = pool()
    for number in (1, 2, 3):
        made.index.learn(0, conversation(number))
    answered(made, conversation(1), cached_tokens=10 * BLOCK_TOKENS - 16, engine_tokens=40 * BLOCK_TOKENS)
    assert made.index.match(conversation(2)) == {0: 40}
    assert made.index.match(conversation(3)) == {0: 40}
