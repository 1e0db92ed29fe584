"""Which prefixes a newcomer takes over."""

import pytest

from epp.datalayer.builtin import Builtin
from epp.datalayer.pool import PoolState
from epp.datalayer.producers.newcomers import GROWTH_SECONDS, NEW_SECONDS
from epp.domain import EndpointId, EngineMetrics
from epp.prompts.request import InferenceRequest
from tests.unit.epp.views import matched, pool_of, spec_of, view_of

BEGINS = InferenceRequest(model="m", canonical=b"x" * 4000, opening=4000)
GOES_ON = BEGINS._replace(opening=1000)
BLOCKS = range(1000, 1000 + 4 * 64)  # one of each kind
LATER = 100.0
GROWN = LATER + GROWTH_SECONDS


def grown(*, restarted: bool = False) -> tuple[PoolState, Builtin]:
    """Three busy endpoints with a prefix each, and an idle fourth that came, or came back, at `LATER`."""
    first, last = ("a", "b", "c"), "d"
    pool, known = pool_of(spec_of(*first, *([last] if restarted else [])), 0.0, block_tokens=64)
    for name in (*first, last):
        pool.scraped(EndpointId(name), EngineMetrics(0, 0, 0.0, started_at=1.0), 0.0)
    if not restarted:
        pool.replace(spec_of(*first, last), LATER)
    for name in first:
        pool.scraped(EndpointId(name), EngineMetrics(0, 8, 0.0, started_at=1.0), LATER)
    pool.scraped(EndpointId(last), EngineMetrics(0, 0, 0.0, started_at=2.0), LATER)
    for block in BLOCKS:
        matched(pool, known, (block,), {block % 3: 1})
    return pool, known


def share(pool: PoolState, request: InferenceRequest, now: float) -> float:
    """The share of the prefixes that the newcomer takes over."""
    taken = [view_of(pool, request, now, blocks=(block, 1)).takes_over for block in BLOCKS]
    assert not any(any(each[:3]) for each in taken)
    return sum(each[3] for each in taken) / len(taken)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_newcomer_takes_over_its_share_of_the_prefixes(restarted: bool) -> None:
    pool, _ = grown(restarted=restarted)
    assert share(pool, BEGINS, GROWN) == 0.25


def test_its_share_grows_evenly() -> None:
    pool, _ = grown()
    shares = [share(pool, BEGINS, LATER + GROWTH_SECONDS * part) for part in (0.0, 0.3, 0.6, 1.0)]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0.05 <= shares[1] < shares[2] < 0.25


def test_a_conversation_that_has_begun_stays_where_it_is() -> None:
    pool, _ = grown()
    assert share(pool, GOES_ON, GROWN) == 0


def test_it_takes_over_nothing_when_it_carries_as_much_as_the_others() -> None:
    pool, _ = grown()
    pool.scraped(EndpointId("d"), EngineMetrics(0, 8, 0.0, started_at=2.0), LATER + 1)
    assert share(pool, BEGINS, GROWN) == 0


def test_it_is_new_for_a_while_only() -> None:
    pool, _ = grown()
    assert share(pool, BEGINS, LATER + NEW_SECONDS - 1) == 0.25
    assert share(pool, BEGINS, LATER + NEW_SECONDS + 1) == 0


def test_of_a_pool_that_has_just_begun_nobody_is_new() -> None:
    pool, known = pool_of(spec_of("a", "b"), 0.0, block_tokens=64)
    for name, running in (("a", 8), ("b", 0)):
        pool.scraped(EndpointId(name), EngineMetrics(0, running, 0.0), 0.1)
    matched(pool, known, (1,), {0: 1})
    assert not any(any(view_of(pool, BEGINS, 0.2, blocks=(1, at)).takes_over) for at in range(10))


def test_what_nobody_holds_is_taken_over_by_nobody() -> None:
    pool, _ = grown()
    assert not any(view_of(pool, BEGINS, LATER + 1, blocks=(5000, 5001)).takes_over)
