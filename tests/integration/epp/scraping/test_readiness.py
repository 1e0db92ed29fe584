"""What a model server says of its own readiness, over the connection that its metrics are read by."""

import asyncio

from epp.domain import EngineMetrics, ScrapeFault
from tests.integration.epp.scraping.scraped import (
    Brain,
    Counts,
    ModelServer,
    good,
    pools,
    response,
    scraper,
    scraping,
    until,
)


class Engine(ModelServer):
    """A server whose /health answers with this status."""

    def __init__(self, status: str) -> None:
        super().__init__()
        self.status = status
        self.answer = self.told

    async def told(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"GET /health "):
            writer.write(response(b"", self.status))
        else:
            await good(request, writer)


async def test_a_server_that_says_it_is_not_ready_is_no_candidate_until_it_says_so_no_more() -> None:
    server, brain = Engine("503 Service Unavailable"), Brain()
    watched = scraper(brain, Counts())
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: brain.seen.get(where.id, []).count(ScrapeFault.NOT_READY) >= 2)
            server.status = "200 OK"
            await until(lambda: isinstance(brain.seen[where.id][-1], EngineMetrics))
    assert server.connections == 1


async def test_a_server_that_knows_no_such_question_is_ready() -> None:
    server, brain = Engine("404 Not Found"), Brain()
    watched = scraper(brain, Counts())
    async with server.listening() as where:
        watched.replace_pools(pools(where))
        async with scraping(watched):
            await until(lambda: len(brain.seen.get(where.id, [])) >= 5)
    assert set(map(type, brain.seen[where.id])) == {EngineMetrics}
