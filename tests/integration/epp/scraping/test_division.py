"""Replicas that scrape for each other, on real sockets: what servers are asked, and what each replica knows."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from epp.config.engines import BUILT_IN
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    ModelsShared,
    PoolId,
    RunId,
    ScrapeFault,
    ScrapeTaken,
    SharedEvent,
)
from epp.scraping.endpoints import Access
from epp.scraping.schedule.division import LIVE_SECONDS, LOOK_SECONDS
from epp.scraping.scraper import HASTE_SECONDS, Scraper
from epp.scraping.shared_scrapes import Fleet
from tests.conftest import free_ports
from tests.integration.epp.scraping.scraped import Brain, Counts, ModelServer, error, pools, until

INTERVAL = 0.05
SERVERS = 12


class Replica:
    """A scraper with the part of a picker that it feeds, and a journal that takes no time. `metrics_port` is where it
    believes that servers have their metrics."""

    def __init__(self, name: str, metrics_port: int = 0) -> None:
        self.brain, self.counts = Brain(INTERVAL), Counts()
        self.others: list[Replica] = []
        self.is_alive = True
        self.shown: dict[EndpointId, str] = {}
        self.run_id = RunId(name)
        access = Access(lambda _: BUILT_IN["vllm"], metrics_port=metrics_port)
        fleet = Fleet(self.run_id, self._live, self._publish, self._show)
        self.scraper = Scraper(self.brain, self.counts, time.monotonic, access, Random(1), fleet)

    def scrapes(self) -> int:
        return self.counts.good

    def news(self) -> dict[EndpointId, int]:
        """Scrapes that were taken here, by endpoint, whoever made them."""
        return {id_: len(seen) for id_, seen in self.brain.seen.items()}

    def _live(self, pool: PoolId, now: float) -> Sequence[RunId]:
        return [other.run_id for other in self.others if other.is_alive]

    def _publish(self, events: Sequence[SharedEvent]) -> None:
        for other in self.others if self.is_alive else ():
            for event in events:
                assert isinstance(event, ScrapeTaken | ModelsShared)
                other.scraper.learn(event)

    def _show(self, pool: PoolId, endpoint: EndpointId, by: str) -> None:
        self.shown[endpoint] = by


@asynccontextmanager
async def scraping(servers: Sequence[ModelServer], *replicas: Replica) -> AsyncIterator[Sequence[Endpoint]]:
    """All scrape these servers, and know each other."""
    async with AsyncExitStack() as stack:
        endpoints = [await stack.enter_async_context(server.listening()) for server in servers]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for replica in replicas:
            replica.others = [other for other in replicas if other is not replica]
            replica.scraper.replace_pools(pools(*endpoints))
        tasks = {replica.run_id: group.create_task(replica.scraper.run()) for replica in replicas}
        try:
            yield endpoints
        finally:
            for task in tasks.values():
                task.cancel()


async def scrapes_within(seconds: float, *replicas: Replica) -> list[int]:
    before = [replica.scrapes() for replica in replicas]
    await asyncio.sleep(seconds)
    return [replica.scrapes() - count for replica, count in zip(replicas, before, strict=True)]


async def test_servers_are_asked_as_often_as_by_one_replica_and_all_know_all() -> None:
    replicas = [Replica(name) for name in "abc"]
    async with scraping([ModelServer() for _ in range(SERVERS)], *replicas) as endpoints:
        await until(lambda: all(len(replica.news()) == SERVERS for replica in replicas))
        await asyncio.sleep(0.3)
        made = await scrapes_within(2.0, *replicas)
        alone = SERVERS * 2.0 / INTERVAL
        news = [sum(replica.news().values()) for replica in replicas]
        assert sum(count > 0 for count in made) > 1
        assert sum(made) < 2.0 * alone  # three would make three times as many
        assert max(news) - min(news) < 0.5 * max(news)
        assert {id_ for replica in replicas for id_ in replica.brain.models} == {each.id for each in endpoints}
    assert all(by == "here" or by.startswith("by ") for replica in replicas for by in replica.shown.values())


async def test_the_share_of_a_replica_that_dies_is_taken_over_within_a_second() -> None:
    one, two = Replica("a"), Replica("b")
    async with scraping([ModelServer() for _ in range(SERVERS)], one, two):
        await until(lambda: len(two.news()) == SERVERS)
        await asyncio.sleep(0.5)
        share = [id_ for id_, by in two.shown.items() if by == "by a"]
        assert share
        one.is_alive = False
        before, started = two.news(), time.monotonic()
        await until(lambda: all(two.news()[id_] > before[id_] for id_ in share))
        assert time.monotonic() - started < 5.0  # a busy host's; by the clock of a quiet one it is what follows
        assert LIVE_SECONDS + LOOK_SECONDS + HASTE_SECONDS < 1.0
        await until(lambda: set(two.shown.values()) == {"here"})


async def test_a_replica_that_is_stuck_is_stood_in_for() -> None:
    one, two = Replica("a"), Replica("b")
    async with scraping([ModelServer() for _ in range(SERVERS)], one, two):
        await until(lambda: len(two.news()) == SERVERS)
        one.scraper.replace_pools({})  # it lives, and scrapes nothing
        await until(lambda: two.scrapes() > 5 * SERVERS and set(two.shown.values()) == {"here"})


async def test_what_one_replica_cannot_reach_it_knows_from_another_and_says_so() -> None:
    (closed,) = free_ports(1)
    one, two = Replica("a", metrics_port=closed), Replica("b")
    async with scraping([ModelServer() for _ in range(SERVERS)], one, two):
        await until(lambda: len(one.news()) == SERVERS)
        await until(lambda: set(one.shown.values()) == {"by b, not from here"})
        faults = sum(isinstance(found, ScrapeFault) for seen in one.brain.seen.values() for found in seen)
        before = one.news()
        await until(lambda: all(one.news()[id_] > before[id_] + 20 for id_ in before))
        later = sum(isinstance(found, ScrapeFault) for seen in one.brain.seen.values() for found in seen)
        assert later == faults  # what is reached from elsewhere is not out here
        assert set(two.shown.values()) == {"here"}


async def test_a_server_that_fails_is_seen_to_fail_by_each() -> None:
    replicas = [Replica(name) for name in "abc"]
    servers = [ModelServer() for _ in range(2)]
    async with scraping(servers, *replicas) as endpoints:
        await until(lambda: all(len(replica.news()) == 2 for replica in replicas))
        await asyncio.sleep(0.3)
        servers[0].answer = error
        broken = endpoints[0].id
        await until(lambda: all(replica.brain.seen[broken][-1] is ScrapeFault.STATUS for replica in replicas))
        assert all(isinstance(replica.brain.seen[endpoints[1].id][-1], EngineMetrics) for replica in replicas)
