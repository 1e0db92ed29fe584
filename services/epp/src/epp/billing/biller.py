"""Keeps the bill beside the picker. A shell: its job writes every second; what cannot be kept waits, and is said once.

Sums that were sent and perhaps not taken are sent again as they were, under the same id.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

from epp.billing.requests import BilledRequests
from epp.billing.sqlite import FileStore
from epp.billing.totals import Line, Totals, day_of
from epp.picking.observer import PickObserver
from epp.sharing.redis_address import Address, Password
from epp.telemetry.words import Bounded
from gateway.service import logs
from gateway.service.clock import Clock
from gateway.service.metrics import Registry

log = logs.get(__name__)

INTERVAL_SECONDS: Final = 1.0
DEFAULT_DAYS: Final = 400  # a year, and the month in which it is asked about
LONGEST_SPAN: Final = 800  # days of one question
MOST_TENANTS: Final = 100  # with series of their own
UNAVAILABLE: Final = (OSError, sqlite3.Error)


@dataclass(frozen=True, slots=True)
class Billing:
    """Where the bill is kept, and for how many days: a file, or the Redis of the replicas, or else this process."""

    path: Path | None = None
    days: int = DEFAULT_DAYS


class Store(Protocol):
    """Where the bill is kept. Raises UNAVAILABLE."""

    async def add(self, batch: str, sums: Mapping[Line, Totals], today: date) -> None:
        """Keep sums; the same batch counts once, also when it is sent again until it is known to have arrived."""

    async def read(self, since: str, until: str) -> Sequence[tuple[Line, Totals]]:
        """The lines from one day to another, both included."""

    async def close(self) -> None:
        """No other call follows."""


class Biller:
    """Give `billed` to the picker as its observer, and run `run`. `sqlite3.Error` if the file cannot be opened."""

    def __init__(self, billing: Billing, observer: PickObserver, registry: Registry, wall: Clock) -> None:
        self._billing, self._wall = billing, wall
        self._store: Store | None = None
        self._batch: tuple[str, Mapping[Line, Totals]] | None = None
        self._fails = False
        self._lock = asyncio.Lock()  # one at a time reads or writes
        self._tenant, self._model = Bounded(MOST_TENANTS), Bounded(MOST_TENANTS)
        self._tokens = registry.counter(
            "pointsman_usage_tokens_total", "Tokens on the bill.", ("tenant", "model_name", "kind")
        )
        self._seconds = registry.counter(
            "pointsman_usage_gpu_seconds_total", "GPU seconds on the bill.", ("tenant", "model_name")
        )
        self.billed = BilledRequests(observer, wall)

    def open(self, redis: Address | None, password: Password | None) -> None:
        """In Redis where there is one."""
        if redis is not None and self._billing.path is None:
            from epp.billing.shared import RedisStore  # its client takes long to load

            self._store = RedisStore(redis, password, self._billing.days)
        else:
            self._store = FileStore(self._billing.path, self._billing.days)

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        try:
            while True:
                await asyncio.sleep(INTERVAL_SECONDS)
                await self._keep()
        finally:
            await self._keep()
            if self._store is not None:
                await self._store.close()

    async def read(self, since: str, until: str) -> Sequence[tuple[Line, Totals]]:
        """The lines of these days, with what was used until now. Raises UNAVAILABLE."""
        await self._keep()
        async with self._lock:
            assert self._store is not None
            return await self._store.read(since, until)

    async def _keep(self) -> None:
        async with self._lock:
            await self._keep_alone()

    async def _keep_alone(self) -> None:
        if self._batch is None:
            sums = self.billed.sums.take()
            self._batch = (uuid4().hex, sums) if sums else None
            for line, totals in sums.items():
                self._count(line, totals)
        if self._batch is None:
            return
        batch, sums = self._batch
        try:
            await self._write(batch, sums)
        except UNAVAILABLE as error:
            if not self._fails:
                log.warning("the bill cannot be written; it is kept in memory", reason=str(error))
            self._fails = True
            return
        self._batch = None
        if self._fails:
            self._fails = False
            log.info("the bill is written again")

    async def _write(self, batch: str, sums: Mapping[Line, Totals]) -> None:
        if self._store is not None:
            await self._store.add(batch, sums, date.fromisoformat(day_of(self._wall())))

    def _count(self, line: Line, totals: Totals) -> None:
        who = (self._tenant(line.tenant), self._model(line.model))
        for kind, tokens in (
            ("prompt", totals.prompt), ("cached", totals.cached), ("completion", totals.completion),
        ):  # fmt: skip
            if tokens:
                self._tokens.add((*who, kind), tokens)
        self._seconds.add(who, totals.gpu_microseconds / 1e6)
