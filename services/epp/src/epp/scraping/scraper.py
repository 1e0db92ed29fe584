"""Keeps the picker's knowledge of each endpoint fresh: /metrics as often as the picker wants it, /v1/models and
/health every 2 s.

A shell: sockets, timers and logs around `schedule`, which says what is due. A scrape runs in callbacks of timers and of
its connection; only opening a connection takes a task. So a slow or dead endpoint delays nobody, and nothing wakes for
an endpoint that is not due. Each scrape has a time limit. Among replicas each scrapes its share: see `SharedScrapes`.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    ModelsShared,
    PoolId,
    PoolSpec,
    ScrapeFault,
    ScrapeTaken,
    ServedModel,
)
from epp.scraping import exposition
from epp.scraping.endpoints import Access, Place, tls
from epp.scraping.http_client import Answer, Connection, connect
from epp.scraping.log import ScrapeLog, ScrapeMetrics
from epp.scraping.model_lists import TIMEOUT_SECONDS, ModelLists
from epp.scraping.schedule.division import LOOK_SECONDS
from epp.scraping.schedule.slots import Slots, until_next, until_slot
from epp.scraping.schedule.target import HTTP_OK, ScrapeTarget, Step
from epp.scraping.shared_scrapes import Fleet, SharedScrapes
from gateway.service.clock import Clock

# What vLLM, SGLang and TensorRT-LLM call it.
HEALTH_PATH = "/health"


class ScrapeSink(Protocol):
    """The part of the picker that scraping feeds."""

    def scraped(self, pool: PoolId, endpoint: EndpointId, found: EngineMetrics | ScrapeFault, now: float) -> None:
        """One scrape of /metrics."""

    def models_listed(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        """One answer of /v1/models."""

    def scrape_interval(self, pool: PoolId, endpoint: EndpointId, now: float) -> float:
        """Seconds until the next scrape."""


@dataclass(slots=True, eq=False)
class _Link:
    """A target with what the shell holds for it."""

    target: ScrapeTarget
    connection: Connection | None = None
    place: Place | None = None  # where that leads
    timer: asyncio.TimerHandle | None = None  # the next scrape, or the time limit of this one


# Endpoints of a pool that are scraped out of turn are so within this time, and not all in one round of the loop.
HASTE_SECONDS = 0.01


class Scraper:
    """Run `run`; `replace_pools` says who is scraped."""

    def __init__(
        self,
        sink: ScrapeSink,
        metrics: ScrapeMetrics,
        clock: Clock,
        access: Access,
        random: Random,
        fleet: Fleet | None = None,
    ) -> None:
        self._sink = sink
        self._shared = SharedScrapes(fleet or Fleet())
        self._log = ScrapeLog(metrics)
        self._clock = clock
        self._random = random
        self._slots = Slots()
        self._models = ModelLists(sink, self._log, clock, self._shared)
        self._links: dict[tuple[PoolId, EndpointId], _Link] = {}
        self._group: asyncio.TaskGroup | None = None
        self.reconfigure(access)

    def reconfigure(self, access: Access) -> None:
        """Ask differently from the next scrape on."""
        self._access = access
        self._context = tls(access.secure)
        self._models.reconfigure(access)

    def replace_pools(self, pools: Mapping[PoolId, PoolSpec]) -> None:
        """Scrape exactly these from now on."""
        wanted = {(spec.id, endpoint.id): endpoint for spec in pools.values() for endpoint in spec.endpoints}
        self._shared.forget(pools)
        for key in self._links.keys() - wanted.keys():
            self._drop(self._links.pop(key))
        for key, endpoint in wanted.items():
            if key in self._links:
                self._links[key].target.endpoint = endpoint
            else:
                self._links[key] = _Link(ScrapeTarget(key[0], endpoint))
                self._schedule(self._links[key], 0.0)

    def hasten(self, pool: PoolId) -> None:
        """Scrape the endpoints of a pool now, but for those that are being scraped or fail."""
        for (of, _), link in self._links.items():
            if of == pool and link.target.fault is None:
                self._advance(link)

    def learn(self, event: ScrapeTaken | ModelsShared) -> None:
        """Take what another replica scraped."""
        link, now = self._links.get((event.pool, event.endpoint)), self._clock()
        if link is None:
            return
        if isinstance(event, ModelsShared):
            self._sink.models_listed(event.pool, event.endpoint, event.models, now)
            return
        found = self._shared.taken(link.target, event, now)
        if found is not None:
            self._sink.scraped(event.pool, event.endpoint, found, now)
        elif link.target.is_doubtful:
            self._advance(link)

    def _advance(self, link: _Link) -> None:
        """Look soon whether an endpoint is to be scraped here, unless it is being scraped."""
        if link.target.step is Step.IDLE and link.timer is not None:
            link.timer.cancel()
            self._schedule(link, HASTE_SECONDS * self._random.random())

    def locked(self, pools: Collection[PoolId] | None) -> list[tuple[PoolId, Endpoint]]:
        """The endpoints of these pools, or of all, that list their models to clients with a key only; by address."""
        found = [
            (pool, link.target.endpoint)
            for (pool, _), link in self._links.items()
            if link.target.is_locked and (pools is None or pool in pools)
        ]
        return sorted(found, key=lambda each: each[1].id)

    async def list_models(self, endpoint: Endpoint, authorization: str) -> tuple[ServedModel, ...]:
        """The models that an endpoint lists to a client with this header; none where it does not."""
        return await self._models.of(endpoint, authorization)

    async def run(self) -> None:
        """Scrape until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for link in self._links.values():
                    self._schedule(link, 0.0)
                try:
                    await self._divide()
                finally:
                    self._group = None  # which takes no more tasks
        finally:
            for link in self._links.values():
                self._drop(link)

    async def _divide(self) -> None:
        """See who lives, until cancelled: a share that is this replica's from now on is scraped at once."""
        while True:
            now = self._clock()
            changed = {pool for pool in {of for of, _ in self._links} if self._shared.has_changed(pool, now)}
            for (of, _), link in self._links.items():
                if of in changed:
                    self._advance(link)
            await asyncio.sleep(LOOK_SECONDS)

    def _schedule(self, link: _Link, delay: float) -> None:
        if self._group is not None and link.target.step is not Step.GONE:
            link.timer = asyncio.get_running_loop().call_later(delay, self._start, link)

    def _start(self, link: _Link) -> None:
        target = link.target
        if self._group is None:
            return
        wait = self._shared.until_due(target, self._interval(target), self._clock())
        if wait > 0.0:
            self._schedule(link, wait)
            return
        if not self._slots.take(target):
            self._schedule(link, until_slot(self._random))
            return
        number = target.begin()
        link.timer = asyncio.get_running_loop().call_later(TIMEOUT_SECONDS, self._expire, link)
        if link.connection is not None and link.connection.is_open and link.place == self._access.place:
            self._get_metrics(link, link.connection)
        else:
            self._group.create_task(self._connect(link, number))

    async def _connect(self, link: _Link, number: int) -> None:
        target, place = link.target, self._access.place
        endpoint = target.endpoint
        if link.connection is not None:
            link.connection.abort()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                port = self._access.port(endpoint)
                connection = await connect(endpoint.address, port, endpoint.id, self._context)
        except TimeoutError:
            return  # the scrape's own time limit has ended it
        except OSError:
            if target.is_current(number):
                self._observe(link, ScrapeFault.REFUSED)
            return
        if not target.is_current(number):
            connection.abort()
            return
        link.connection, link.place = connection, place
        self._get_metrics(link, connection)

    def _get_metrics(self, link: _Link, connection: Connection) -> None:
        number = link.target.round

        def answered(answer: Answer | None) -> None:
            if link.target.is_current(number):
                self._observe(link, _read(link.target, answer, self._access))

        connection.get(self._access.metrics_path, answered)

    def _expire(self, link: _Link) -> None:
        connection, link.connection = link.connection, None
        if link.target.step in (Step.LISTING, Step.CHECKING):
            self._finish(link)
        else:
            self._observe(link, ScrapeFault.TIMEOUT)
        if connection is not None:
            connection.abort()

    def _observe(self, link: _Link, found: EngineMetrics | ScrapeFault) -> None:
        target, now = link.target, self._clock()
        if not target.is_ready and isinstance(found, EngineMetrics):
            found = ScrapeFault.NOT_READY
        if self._shared.scraped(target, found, now):
            self._sink.scraped(target.pool, target.endpoint.id, found, now)
        self._log.scraped(target, found, self._access.engine_of(target.endpoint.labels))
        if not self._access.models_path or not target.are_models_due(now, self._access.models_seconds):
            self._get_health(link)
        elif self._reaches_requests(link):
            self._get_models(link)
        else:
            self._finish(link)
            self._get_models_apart(target)

    def _reaches_requests(self, link: _Link) -> bool:
        """Whether the connection for metrics can be used for more, and leads to where requests go."""
        is_open = link.connection is not None and link.connection.is_open
        return is_open and self._access.is_one_place(link.target.endpoint)

    def _finish(self, link: _Link) -> None:
        """This round is over; the next one is due when the picker says."""
        target = link.target
        self._release(link)
        self._schedule(link, until_next(target, self._interval(target), self._random))

    def _interval(self, target: ScrapeTarget) -> float:
        return self._sink.scrape_interval(target.pool, target.endpoint.id, self._clock())

    def _release(self, link: _Link) -> None:
        if link.timer is not None:
            link.timer.cancel()
        if link.target.is_busy:
            self._slots.give_back(link.target)
        link.target.end()

    def _get_models(self, link: _Link) -> None:
        target, number = link.target, link.target.round

        def listed(answer: Answer | None) -> None:
            if not target.is_current(number):
                return
            self._get_health(link)
            if answer is None:  # a server that closes after each answer has done so meanwhile
                self._get_models_apart(target)
            else:
                self._models.learn(target, answer)

        target.list_models()
        if link.connection is not None:
            link.connection.get(self._access.models_path, listed)

    def _get_health(self, link: _Link) -> None:
        """Only over the connection that is open: a server that refuses it shows itself by its scrapes."""
        target, number = link.target, link.target.round

        def answered(answer: Answer | None) -> None:
            if not target.is_current(number):
                return
            if answer is not None:
                target.health_answered(answer.status)
            self._finish(link)

        if not self._reaches_requests(link) or not target.is_health_due(self._clock()):
            self._finish(link)
        elif link.connection is not None:
            target.check_health()
            link.connection.get(HEALTH_PATH, answered)

    def _get_models_apart(self, target: ScrapeTarget) -> None:
        """Over a connection of its own, which no scrape waits for."""
        if self._group is not None:
            target.is_listing_apart = True
            self._group.create_task(self._models.fetch(target))

    def _drop(self, link: _Link) -> None:
        self._release(link)
        link.target.leave()
        if link.connection is not None:
            link.connection.abort()


def _read(target: ScrapeTarget, answer: Answer | None, access: Access) -> EngineMetrics | ScrapeFault:
    if answer is None:
        return ScrapeFault.REFUSED
    if answer.is_cut:
        return ScrapeFault.TOO_LARGE
    if answer.status != HTTP_OK:
        return ScrapeFault.STATUS
    try:
        return exposition.parse(answer.body, access.engine_of(target.endpoint.labels))
    except exposition.MalformedError:
        return ScrapeFault.MALFORMED
