"""What endpoints list under /v1/models, over connections of their own, which no scrape waits for. A shell."""

import asyncio
from typing import Final, Protocol

from epp.domain import Endpoint, EndpointId, PoolId, ServedModel
from epp.scraping.endpoints import Access, tls
from epp.scraping.http_client import Answer, connect
from epp.scraping.log import ScrapeLog
from epp.scraping.schedule.models import read_models
from epp.scraping.schedule.slots import MAX_RETRIES
from epp.scraping.schedule.target import HTTP_OK, ScrapeTarget, Step
from epp.scraping.shared_scrapes import SharedScrapes
from gateway.service.clock import Clock

TIMEOUT_SECONDS: Final = 1.0


class ModelSink(Protocol):
    """The part of the picker that takes lists."""

    def models_listed(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        """One answer of /v1/models."""


class ModelLists:
    """`reconfigure` comes first."""

    def __init__(self, sink: ModelSink, log: ScrapeLog, clock: Clock, shared: SharedScrapes) -> None:
        self._sink = sink
        self._log = log
        self._clock = clock
        self._shared = shared
        self._slots = asyncio.Semaphore(MAX_RETRIES)

    def reconfigure(self, access: Access) -> None:
        """Ask differently from now on."""
        self._access = access
        self._context = tls(access.models_secure)

    async def of(self, endpoint: Endpoint, authorization: str) -> tuple[ServedModel, ...]:
        """The models that an endpoint lists to a client with this header; none where it does not."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._slots:
                answer = await self._get(endpoint, authorization)
        except OSError:  # a time limit is one, too
            return ()
        return () if answer is None or answer.status != HTTP_OK else read_models(answer.body) or ()

    async def fetch(self, target: ScrapeTarget) -> None:
        """Ask a target, and learn what it lists."""
        answer: Answer | None = None
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_SECONDS):
                answer = await self._get(target.endpoint)
        except OSError:  # a time limit is one, too
            pass
        finally:
            target.is_listing_apart = False
        if target.step is not Step.GONE:
            self.learn(target, answer)

    async def _get(self, endpoint: Endpoint, authorization: str | None = None) -> Answer | None:
        connection = await connect(endpoint.address, endpoint.port, endpoint.id, self._context)
        return await connection.fetch(self._access.models_path, authorization=authorization)

    def learn(self, target: ScrapeTarget, answer: Answer | None) -> None:
        """Take a target's answer, None for none."""
        status, body = (None, b"") if answer is None else (answer.status, answer.body)
        was_silent = target.is_silent_of_models
        is_new = target.models_answered(status, body)
        if target.is_silent_of_models and not was_silent:
            self._log.models_missing(target, status)
        models = read_models(body) if is_new else None
        if models is not None:
            target.models_seen = body
            self._sink.models_listed(target.pool, target.endpoint.id, models, self._clock())
        if status == HTTP_OK:
            self._shared.listed(target, models, self._clock())
