"""A replica that starts: when it is warm, what it has learned by then, and what it says that it lacks."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from epp.domain import EndpointId, PickId, PickPlaced, PickSettled, PoolId, SharedEvent
from epp.sharing.follower import WARM_SECONDS, Follower
from epp.sharing.journal import Batch, Position, Snapshot

POOL, OTHER = PoolId("default/pool"), PoolId("default/other")
PLACED = PickPlaced(POOL, PickId("b-1"), ((EndpointId("10.0.0.1:8000"), 7),))
SETTLED = PickSettled(POOL, PickId("b-1"))


class Kept:
    """A journal whose past is `kept`; a pool without one cannot be read. What comes is put into `coming`."""

    def __init__(self, kept: dict[PoolId, tuple[SharedEvent, ...]]) -> None:
        self.kept = kept
        self.offers: list[str] = []
        self.coming: asyncio.Queue[Batch] = asyncio.Queue()

    def publish(self, events: Iterable[SharedEvent]) -> None:
        """Nobody follows."""

    async def subscribe(self, pool: PoolId, start: Position) -> AsyncIterator[Batch]:
        assert start == "end"
        while True:
            yield await self._next(pool)

    async def _next(self, pool: PoolId) -> Batch:
        if pool != POOL:
            await asyncio.Event().wait()
        return await self.coming.get()

    async def snapshot(self, pool: PoolId, offer: str = "") -> Snapshot:
        self.offers.append(offer)
        found = self.kept.get(pool)
        return Snapshot(lacks="no answer") if found is None else Snapshot(found, "end")

    async def run(self) -> None:
        await asyncio.Event().wait()


class Uncounted:
    def shared(self, direction: str, events: int) -> None: ...

    def dropped(self, events: int) -> None: ...

    def sharing(self, direction: str, *, works: bool) -> None: ...

    def lagged(self, direction: str, seconds: float) -> None: ...


@asynccontextmanager
async def following(journal: Kept) -> AsyncIterator[tuple[Follower, list[SharedEvent]]]:
    """A follower of two pools that runs, and the events that it passes on."""
    applied: list[SharedEvent] = []
    follower = Follower(journal, applied.extend, lambda: (POOL, OTHER), Uncounted())
    task = asyncio.create_task(follower.run())
    try:
        yield follower, applied
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_warm(follower: Follower) -> float:
    """How long it took."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(4 * WARM_SECONDS):
        while not follower.is_warm:
            await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - began


async def test_a_replica_is_warm_once_it_knows_the_past_of_every_pool() -> None:
    async with following(Kept({POOL: (PLACED,), OTHER: ()})) as (follower, applied):
        assert not follower.is_warm
        assert await until_warm(follower) < WARM_SECONDS
        assert applied == [PLACED]
        assert follower.lacking == {}


async def test_without_the_past_of_a_pool_it_is_warm_after_a_while_and_says_what_it_lacks() -> None:
    journal = Kept({POOL: (PLACED,)})
    async with following(journal) as (follower, _):
        assert await until_warm(follower) >= WARM_SECONDS * 0.99
        assert follower.lacking == {OTHER: "no answer"}

        journal.kept[OTHER] = ()
        async with asyncio.timeout(20):
            while follower.lacking:
                await asyncio.sleep(0.05)


async def test_a_gap_in_what_comes_is_closed_by_what_is_kept() -> None:
    journal = Kept({POOL: (), OTHER: ()})
    async with following(journal) as (follower, applied):
        await until_warm(follower)
        journal.kept[POOL] = (PLACED,)
        journal.coming.put_nowait(Batch((SETTLED,), has_gap=True))
        async with asyncio.timeout(20):
            while len(applied) < 2:
                await asyncio.sleep(0.01)
        assert set(applied) == {PLACED, SETTLED}


async def test_what_a_replica_offers_is_read_once_it_can_be_had() -> None:
    journal = Kept({POOL: (), OTHER: ()})
    async with following(journal) as (follower, applied):
        await until_warm(follower)
        del journal.kept[POOL]
        journal.offers.clear()
        journal.coming.put_nowait(Batch((), has_gap=True, offer="name"))
        journal.coming.put_nowait(Batch((SETTLED,)))  # what comes is not held up by what is missing
        async with asyncio.timeout(20):
            while applied != [SETTLED] or not journal.offers:
                await asyncio.sleep(0.01)
        journal.kept[POOL] = (PLACED,)
        async with asyncio.timeout(20):
            while PLACED not in applied:
                await asyncio.sleep(0.01)
    assert set(journal.offers) == {"name"}
