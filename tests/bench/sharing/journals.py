"""What sharing costs a picker's CPU, how late it is, and what it asks of Redis: two pickers on one loop."""

import asyncio
import contextlib
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from time import thread_time as cpu_seconds
from typing import Final, NamedTuple

from epp.config import default_config
from epp.datalayer.producers.other_run import HEARTBEAT_SECONDS
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    Outcome,
    Pick,
    PickId,
    PickPlaced,
    PoolSpec,
    PrefixLearned,
    Request,
    SharedEvent,
)
from epp.picking.observer import NullObserver, Publisher
from epp.picking.picker import Picker
from epp.sharing import codec
from epp.sharing.follower import Follower
from epp.sharing.journal import Journal, Knowledge
from epp.sharing.local_journal import LocalJournal
from epp.sharing.redis_address import Address
from epp.sharing.redis_client import connect, read_address
from epp.sharing.redis_journal import RedisJournal
from epp.testing import NOBODY
from gateway.service.worker import Worker
from tests.bench.epp import HEADERS, POOL, bodies, percentile
from tests.bench.sharing.replicas import Outgoing
from tests.bench.warm_start import redis, row
from tests.integration.epp.sharing.replicas import Counts

ENDPOINTS: Final = 8
RATE: Final = 500.0
SECONDS: Final = 8.0
CPU_ROUNDS: Final = 3000
BODY_BYTES: Final = 4000
CHAIN: Final = 125  # blocks of a prompt of 8000 tokens at 64
WARM_LIMIT_SECONDS: Final = 120.0


def picker(replica: str, journal: Publisher | None) -> Picker:
    """One over idle endpoints, each of which may cache a million blocks."""
    made = Picker(default_config(), random=Random(1), replica=replica, observer=NullObserver(), journal=journal)
    found = tuple(Endpoint(EndpointId(f"10.0.0.{at}:8000"), f"10.0.0.{at}", 8000, f"e{at}") for at in range(ENDPOINTS))
    made.replace_pools({POOL: PoolSpec(POOL, found)}, 0.0)
    for endpoint in found:
        metrics = EngineMetrics(0, 0, 0.0, block_size=16, block_count=4_000_000, started_at=1.0)
        made.scraped(POOL, endpoint.id, metrics, 0.9)
    return made


def submit(made: Picker, body: bytes, now: float) -> PickId:
    """One pick."""
    verdict = made.submit(Request(POOL, "POST", "/v1/chat/completions", HEADERS, body), NOBODY, now)
    assert isinstance(verdict, Pick)
    return verdict.id


class Cost(NamedTuple):
    """Microseconds of CPU for each request, and events of it."""

    alone: float
    sender: float
    receiver: float
    events: float


def cost() -> Cost:
    """A request from pick to end with and without others, in turns on the same bodies."""
    outgoing = Outgoing()
    alone, sharing, receiver = picker("a", None), picker("b", outgoing), picker("c", Outgoing())
    sent = bodies(BODY_BYTES, CPU_ROUNDS, Random(3))
    spent = {"alone": 0.0, "sender": 0.0, "receiver": 0.0}
    events = 0
    gc.collect()
    gc.freeze()
    for number, body in enumerate(sent):
        now = 1.0 + number * 0.002
        began = cpu_seconds()
        alone.settle(submit(alone, body, now), Outcome.ENDED, now)
        between = cpu_seconds()
        sharing.settle(submit(sharing, body, now), Outcome.ENDED, now)
        taken = outgoing.take()
        message = codec.join(map(codec.encode, taken))
        sealed = cpu_seconds()
        for event in codec.decode(message):
            receiver.apply(event, now)
        done = cpu_seconds()
        events += len(taken)
        spent["alone"] += between - began
        spent["sender"] += sealed - between
        spent["receiver"] += done - sealed
    gc.unfreeze()
    micro = {name: 1e6 * seconds / CPU_ROUNDS for name, seconds in spent.items()}
    return Cost(micro["alone"], micro["sender"] - micro["alone"], micro["receiver"], events / CPU_ROUNDS)


class Replica:
    """A picker with its journal and its follower; `seen` is called for each event of others."""

    def __init__(self, name: str, open_journal: Callable[[str, Knowledge], Journal]) -> None:
        self.seen: Callable[[SharedEvent], None] = lambda _: None
        knowledge = Knowledge(
            in_flight=lambda pool: self.picker.pools.restate(pool),
            everything=lambda pool: self.picker.pools.everything(pool),
        )
        self.journal = open_journal(name, knowledge)
        self.picker = picker(name, self.journal)
        self.follower = Follower(self.journal, self._apply, lambda: self.picker.pools.states, Counts())

    async def beat(self) -> None:
        """Let the other know that it lives."""
        while True:
            self.picker.beat(time.monotonic())
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _apply(self, events: Sequence[SharedEvent]) -> None:
        for event in events:
            self.picker.apply(event, time.monotonic())
            self.seen(event)


@contextlib.asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[None]:
    """Until all are warm, then while the body runs."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for each in replicas for job in (each.follower.run(), each.beat())]
        while not all(each.follower.is_warm for each in replicas):
            await asyncio.sleep(0.01)
        yield
        for task in tasks:
            task.cancel()


async def lags(a: Replica, b: Replica) -> Sequence[float]:
    """Seconds from each pick at one to its coming at the other, at `RATE` for `SECONDS`."""
    made_at: dict[PickId, float] = {}
    found: list[float] = []

    def seen(event: SharedEvent) -> None:
        if isinstance(event, PickPlaced) and event.pick_id in made_at:
            found.append(time.monotonic() - made_at[event.pick_id])

    b.seen = seen
    sent = bodies(BODY_BYTES, int(RATE * SECONDS), Random(4))
    async with running(a, b):
        began = time.monotonic()
        for number, body in enumerate(sent):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            now = time.monotonic()
            pick_id = submit(a.picker, body, now)
            made_at[pick_id] = now
            a.picker.settle(pick_id, Outcome.ENDED, now)
        await asyncio.sleep(0.5)
    return found


def local(folder: Path) -> Callable[[str, Knowledge], Journal]:
    """Workers of one host."""
    return lambda name, knowledge: LocalJournal(Worker(folder, "ab".index(name), 2), Counts(), knowledge)


def over(address: Address) -> Callable[[str, Knowledge], Journal]:
    """Replicas with a Redis."""
    return lambda name, knowledge: RedisJournal(address, name, Counts(), knowledge)


async def commands(address: Address) -> int:
    """That the server has done."""
    client = connect(address)
    try:
        return int((await client.info("stats"))["total_commands_processed"])
    finally:
        await client.aclose()


def filled(made: Picker, blocks: int) -> None:
    """Each endpoint caches so many blocks of its own."""
    random = Random(5)
    for at in range(ENDPOINTS):
        for _ in range(blocks // CHAIN):
            chain = tuple(random.getrandbits(64) for _ in range(CHAIN))
            made.apply(PrefixLearned(POOL, EndpointId(f"10.0.0.{at}:8000"), chain), 0.9)


async def warm_start(a: Replica, b: Replica, blocks: int) -> tuple[float, int]:
    """Seconds until a replica that starts knows what the other does, and the blocks that it knows."""
    filled(a.picker, blocks)
    gc.collect()
    gc.freeze()
    async with running(a):
        await asyncio.sleep(1.0)
        began = time.monotonic()
        task = asyncio.create_task(b.follower.run())
        while b.follower.lacking or not b.follower.is_warm:
            await asyncio.sleep(0.05)
            if time.monotonic() - began > WARM_LIMIT_SECONDS:
                break
        seconds = time.monotonic() - began
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    (pool,) = b.picker.pools.describe(time.monotonic())
    return seconds, int(str(pool["index_blocks"]))


def lag_rows() -> Iterator[tuple[str, str]]:
    """Of both journals."""
    with tempfile.TemporaryDirectory() as folder:
        open_local = local(Path(folder))
        yield "lag, workers", times(asyncio.run(lags(Replica("a", open_local), Replica("b", open_local))))
    with redis() as url:
        address = read_address(url)
        before = asyncio.run(commands(address))
        found = asyncio.run(lags(Replica("a", over(address)), Replica("b", over(address))))
        after = asyncio.run(commands(address))
        yield "lag, Redis", times(found)
        yield "Redis commands a request", f"{(after - before) / (RATE * SECONDS):.2f} at {RATE:.0f} requests/s"


def warm_rows(blocks: int) -> Iterator[tuple[str, str]]:
    """Of both journals; over Redis as `make bench-warm-start` does, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        open_local = local(Path(folder))
        seconds, known = asyncio.run(warm_start(Replica("a", open_local), Replica("b", open_local), blocks))
        yield f"warm start, {ENDPOINTS} × {blocks} blocks, workers", f"{seconds:.1f} s, {known} blocks known"
    found = asyncio.run(row(blocks, CHAIN))
    yield (
        f"warm start, {ENDPOINTS} × {blocks} blocks, Redis",
        f"{found['seconds']:.2f} s, {found['redis_mb']:.0f} MB of Redis at most",
    )


def times(found: Sequence[float]) -> str:
    """In milliseconds."""
    return f"p50 {1000 * percentile(found, 0.5):.1f} ms, p99 {1000 * percentile(found, 0.99):.1f} ms"
