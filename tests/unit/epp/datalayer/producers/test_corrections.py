"""What an engine's count of cached tokens teaches about everything it holds."""

from epp.datalayer.builtin import Builtin
from epp.datalayer.placement import Placement, Share
from epp.datalayer.pool import PoolState
from epp.datalayer.producers.prefix_index import PrefixIndex
from epp.datalayer.producers.prefixes import NOTE
from epp.datalayer.report import Report
from epp.domain import Endpoint, EndpointId, Feedback, PickId, PoolSpec
from tests.unit.epp.views import POOL, pool_of

ENDPOINT = EndpointId("a:80")
BLOCK_TOKENS = 64
SYSTEM = tuple(range(10))


def conversation(number: int) -> tuple[int, ...]:
    return (*SYSTEM, *range(1000 * number, 1000 * number + 30))


def pool() -> tuple[PoolState, Builtin, PrefixIndex]:
    spec = PoolSpec(POOL, (Endpoint(ENDPOINT, "a", 80, "a"),))
    made, known = pool_of(spec, block_tokens=BLOCK_TOKENS)
    return made, known, known.prefixes.index


def answered(made: PoolState, index: PrefixIndex, blocks: tuple[int, ...], cached: int, engine_tokens: int) -> None:
    """The endpoint served these blocks again, and had so many of the prompt's tokens cached."""
    member = made.roster.members[ENDPOINT]
    tokens = len(blocks) * BLOCK_TOKENS
    placement = Placement(
        id=PickId("r-1"),
        pool=POOL,
        shares=(Share(member, 0),),
        model="m",
        target_model="m",
        objective="",
        fairness_id="",
        priority=0,
        prompt_tokens=tokens,
        matched_tokens=tokens,
        block_tokens=BLOCK_TOKENS,
        blocks=blocks,
        new_from=len(blocks),
        session=None,
        placed_at=0.0,
        notes={NOTE: index.learn(member.slot, blocks)},
    )
    feedback = Feedback(
        placement.id, POOL, True, served=ENDPOINT, status=200, prompt_tokens=engine_tokens, cached_tokens=cached
    )
    made.reported(Report(placement, feedback, member), 1.0)


def test_an_evicted_conversation_takes_along_what_is_older_and_nothing_that_is_newer() -> None:
    made, _, index = pool()
    for number in (1, 2, 3):
        index.learn(0, conversation(number))
    answered(made, index, conversation(2), cached=10 * BLOCK_TOKENS, engine_tokens=40 * BLOCK_TOKENS)
    assert index.match(conversation(1)) == {0: 10}
    assert index.match(conversation(2)) == {0: 40}
    assert index.match(conversation(3)) == {0: 40}


def test_a_match_that_ends_within_a_shared_prefix_by_estimate_does_not_empty_the_index() -> None:
    """The engine had the shared 10 blocks and no more; by its own tokens they seem to end within the tenth."""
    made, _, index = pool()
    for number in (1, 2, 3):
        index.learn(0, conversation(number))
    answered(made, index, conversation(1), cached=10 * BLOCK_TOKENS - 16, engine_tokens=40 * BLOCK_TOKENS)
    assert index.match(conversation(2)) == {0: 40}
    assert index.match(conversation(3)) == {0: 40}
