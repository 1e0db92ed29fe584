"""Keeps the picker's knowledge of each endpoint fresh: /metrics as often as the picker wants it, /v1/models every 2 s.

A shell. A scrape runs in callbacks of timers and of its connection; only opening a connection takes a task. So a slow
or dead endpoint delays nobody, and nothing wakes for an endpoint that is not due.
At most MAX_SCRAPES answers are awaited at a time, and MAX_RETRIES of endpoints that failed before, so that those never
hold up the others; each scrape has a time limit.
"""

import asyncio
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

import orjson

from epp.config.engines import EngineMapping
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec, ScrapeFault, ServedModel
from epp.scraping import exposition
from epp.scraping.http_client import Answer, Connection, connect
from gateway.service import logs
from gateway.service.clock import Clock

log = logs.get(__name__)

TIMEOUT_SECONDS = 1.0
MAX_SCRAPES = 256  # answers in flight; each holds a socket buffer and, briefly, one body
MAX_RETRIES = 64  # of them at a time; with more failing endpoints than that, each is asked less often
MAX_MODELS = 1000  # of one endpoint's list; more is no list of adapters
LOCKED_STATUS = (401, 403)
# A failing endpoint is asked this often: soon enough to notice its return, too rarely to cost anything.
FAILING_INTERVAL_SECONDS = 1.0


class Brain(Protocol):
    """The part of the picker that scraping feeds."""

    def scraped(self, pool: PoolId, endpoint: EndpointId, found: EngineMetrics | ScrapeFault, now: float) -> None:
        """One scrape of /metrics."""

    def models_listed(self, pool: PoolId, endpoint: EndpointId, models: tuple[ServedModel, ...], now: float) -> None:
        """One answer of /v1/models."""

    def scrape_interval(self, pool: PoolId, endpoint: EndpointId, now: float) -> float:
        """Seconds until the next scrape."""


class Observer(Protocol):
    """What an operator counts."""

    def scrape_succeeded(self, pool: PoolId) -> None:
        """A scrape brought metrics."""

    def scrape_failed(self, pool: PoolId, fault: ScrapeFault) -> None:
        """A scrape brought nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """How the endpoints of this process are asked."""

    engine_of: Callable[[Mapping[str, str]], EngineMapping]  # by an endpoint's labels
    metrics_path: str = "/metrics"
    metrics_port: int = 0  # 0: the endpoint's own
    models_path: str = "/v1/models"
    models_seconds: float = 2.0
    is_https: bool = False
    verifies: bool = False
    models_https: bool = False
    models_verifies: bool = False

    @property
    def place(self) -> tuple[int, bool, bool]:
        """Where connections for metrics lead, and how."""
        return (self.metrics_port, self.is_https, self.verifies)

    def is_one_place(self, endpoint: Endpoint) -> bool:
        """Whether the connection for metrics also leads to the list of models."""
        is_same_scheme = self.is_https == self.models_https
        is_as_strict = not self.is_https or self.verifies == self.models_verifies
        return is_same_scheme and is_as_strict and self.metrics_port in (0, endpoint.port)


@dataclass(slots=True, eq=False)
class _Target:
    """One endpoint of one pool while it is scraped."""

    pool: PoolId
    endpoint: Endpoint
    connection: Connection | None = None
    place: tuple[int, bool, bool] | None = None  # where that leads
    fault: ScrapeFault | None = None
    models_at: float = 0.0
    models_seen: bytes = b""
    is_silent_of_models: bool = False  # the last time it was asked
    is_locked: bool = False  # it lists its models to clients with a key only
    is_asked_apart: bool = False  # for its models, beside the scrapes
    timer: asyncio.TimerHandle | None = None  # the next scrape, or the time limit of this one
    generation: int = 0  # an answer belongs to one scrape
    is_waiting: bool = False
    is_retry: bool = False  # the scrape that is waited for comes after a failed one
    is_asking_models: bool = False
    is_gone: bool = False


class Scraper:
    """Run `run`; tell it of pools by `replace_pools`."""

    def __init__(self, brain: Brain, observer: Observer, clock: Clock, source: Source, random: Random) -> None:
        self._brain = brain
        self._observer = observer
        self._clock = clock
        self._source = source
        self._random = random
        self._context = _tls(source.is_https, source.verifies)
        self._models_context = _tls(source.models_https, source.models_verifies)
        self._models_slots = asyncio.Semaphore(MAX_RETRIES)
        self._targets: dict[tuple[PoolId, EndpointId], _Target] = {}
        self._in_flight = {False: 0, True: 0}  # scrapes, retries
        self._group: asyncio.TaskGroup | None = None

    def reconfigure(self, source: Source) -> None:
        """Ask differently from the next scrape on."""
        self._source = source
        self._context = _tls(source.is_https, source.verifies)
        self._models_context = _tls(source.models_https, source.models_verifies)

    def replace_pools(self, pools: Mapping[PoolId, PoolSpec]) -> None:
        """Scrape exactly these from now on."""
        wanted = {(spec.id, endpoint.id): endpoint for spec in pools.values() for endpoint in spec.endpoints}
        for key in self._targets.keys() - wanted.keys():
            self._drop(self._targets.pop(key))
        for key, endpoint in wanted.items():
            if key in self._targets:
                self._targets[key].endpoint = endpoint
            else:
                self._targets[key] = _Target(key[0], endpoint)
                self._schedule(self._targets[key], 0.0)

    def locked(self, pools: Collection[PoolId] | None) -> list[Endpoint]:
        """The endpoints of these pools, or of all, that list their models to clients with a key only; by address."""
        found = [
            target.endpoint
            for (pool, _), target in self._targets.items()
            if target.is_locked and (pools is None or pool in pools)
        ]
        return sorted(found, key=lambda endpoint: endpoint.id)

    async def list_models(self, endpoint: Endpoint, authorization: str) -> tuple[ServedModel, ...]:
        """The models that an endpoint lists to a client with this header; none where it does not."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._models_slots:
                connection = await connect(endpoint.address, endpoint.port, endpoint.id, self._models_context)
                answer = await connection.fetch(self._source.models_path, authorization=authorization)
        except OSError:  # a time limit is one, too
            return ()
        return () if answer is None or answer.status != 200 else read_models(answer.body) or ()

    async def run(self) -> None:
        """Scrape until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for target in self._targets.values():
                    self._schedule(target, 0.0)
                try:
                    await asyncio.Event().wait()
                finally:
                    self._group = None  # which takes no more tasks
        finally:
            for target in self._targets.values():
                self._drop(target)

    def _schedule(self, target: _Target, delay: float) -> None:
        if self._group is not None and not target.is_gone:
            target.timer = asyncio.get_running_loop().call_later(delay, self._start, target)

    def _start(self, target: _Target) -> None:
        if self._group is None:
            return
        target.is_retry = target.fault is not None
        if self._in_flight[target.is_retry] >= (MAX_RETRIES if target.is_retry else MAX_SCRAPES):
            self._schedule(target, 0.01 + 0.02 * self._random.random())
            return
        target.is_waiting = True
        target.generation += 1
        self._in_flight[target.is_retry] += 1
        target.timer = asyncio.get_running_loop().call_later(TIMEOUT_SECONDS, self._expire, target)
        if target.connection is not None and target.connection.is_open and target.place == self._source.place:
            self._ask(target, target.connection)
        else:
            self._group.create_task(self._connect(target, target.generation))

    async def _connect(self, target: _Target, generation: int) -> None:
        endpoint, place = target.endpoint, self._source.place
        port = self._source.metrics_port or endpoint.port
        if target.connection is not None:
            target.connection.abort()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                connection = await connect(endpoint.address, port, endpoint.id, self._context)
        except TimeoutError:
            return  # the scrape's own time limit has said so
        except OSError:
            if target.is_waiting and target.generation == generation:
                self._observe(target, ScrapeFault.REFUSED)
            return
        if not target.is_waiting or target.generation != generation:
            connection.abort()
            return
        target.connection, target.place = connection, place
        self._ask(target, connection)

    def _ask(self, target: _Target, connection: Connection) -> None:
        generation = target.generation

        def answered(answer: Answer | None) -> None:
            if target.is_waiting and target.generation == generation:
                self._observe(target, self._read(target, answer))

        connection.get(self._source.metrics_path, answered)

    def _read(self, target: _Target, answer: Answer | None) -> EngineMetrics | ScrapeFault:
        if answer is None:
            return ScrapeFault.REFUSED
        if answer.is_cut:
            return ScrapeFault.TOO_LARGE
        if answer.status != 200:
            return ScrapeFault.STATUS
        try:
            return exposition.parse(answer.body, self._source.engine_of(target.endpoint.labels))
        except exposition.MalformedError:
            return ScrapeFault.MALFORMED

    def _expire(self, target: _Target) -> None:
        connection, target.connection = target.connection, None
        if target.is_asking_models:
            self._finish(target)
        else:
            self._observe(target, ScrapeFault.TIMEOUT)
        if connection is not None:
            connection.abort()

    def _observe(self, target: _Target, found: EngineMetrics | ScrapeFault) -> None:
        now = self._clock()
        self._brain.scraped(target.pool, target.endpoint.id, found, now)
        if isinstance(found, ScrapeFault):
            self._failed(target, found)
            self._finish(target)
            return
        self._succeeded(target)
        if not self._source.models_path or now < target.models_at or target.is_asked_apart:
            self._finish(target)
            return
        target.models_at = now + self._source.models_seconds
        connection = target.connection
        if connection is not None and connection.is_open and self._source.is_one_place(target.endpoint):
            target.is_asking_models = True
            self._ask_models(target, connection)
        else:
            self._finish(target)
            self._ask_models_apart(target)

    def _finish(self, target: _Target) -> None:
        """This scrape is over; the next one is due when the picker says."""
        self._release(target)
        now = self._clock()
        if target.fault is not None:
            delay = FAILING_INTERVAL_SECONDS * (0.75 + 0.5 * self._random.random())
        else:
            delay = self._brain.scrape_interval(target.pool, target.endpoint.id, now)
        self._schedule(target, delay)

    def _release(self, target: _Target) -> None:
        if target.timer is not None:
            target.timer.cancel()
        if target.is_waiting:
            self._in_flight[target.is_retry] -= 1
        target.is_waiting = target.is_asking_models = False

    def _failed(self, target: _Target, fault: ScrapeFault) -> None:
        self._observer.scrape_failed(target.pool, fault)
        if target.fault is not fault:  # said once for each change, counted always
            log.warning("endpoint cannot be scraped", pool=target.pool, endpoint=target.endpoint.id, fault=fault.value)
        target.fault = fault
        target.models_at = 0.0

    def _succeeded(self, target: _Target) -> None:
        self._observer.scrape_succeeded(target.pool)
        if target.fault is not None:
            log.info("endpoint can be scraped again", pool=target.pool, endpoint=target.endpoint.id)
        target.fault = None

    def _ask_models(self, target: _Target, connection: Connection) -> None:
        generation = target.generation

        def listed(answer: Answer | None) -> None:
            if not target.is_waiting or target.generation != generation:
                return
            self._finish(target)
            if answer is None:  # a server that closes after each answer has done so meanwhile
                self._ask_models_apart(target)
            else:
                self._learn_models(target, answer)

        connection.get(self._source.models_path, listed)

    def _ask_models_apart(self, target: _Target) -> None:
        """Over a connection of its own, which no scrape waits for."""
        if self._group is not None:
            target.is_asked_apart = True
            self._group.create_task(self._fetch_models(target))

    async def _fetch_models(self, target: _Target) -> None:
        endpoint, answer = target.endpoint, None
        try:
            async with self._models_slots, asyncio.timeout(TIMEOUT_SECONDS):
                connection = await connect(endpoint.address, endpoint.port, endpoint.id, self._models_context)
                answer = await connection.fetch(self._source.models_path)
        except OSError:  # a time limit is one, too
            pass
        finally:
            target.is_asked_apart = False
        if not target.is_gone:
            self._learn_models(target, answer)

    def _learn_models(self, target: _Target, answer: Answer | None) -> None:
        is_silent = answer is None or answer.status != 200
        if is_silent and not target.is_silent_of_models:
            status = None if answer is None else answer.status
            log.warning("models cannot be listed", pool=target.pool, endpoint=target.endpoint.id, status=status)
        target.is_silent_of_models = is_silent
        target.is_locked = answer is not None and answer.status in LOCKED_STATUS
        if answer is None or is_silent or answer.body == target.models_seen:
            return
        models = read_models(answer.body)
        if models is not None:
            target.models_seen = answer.body
            self._brain.models_listed(target.pool, target.endpoint.id, models, self._clock())

    def _drop(self, target: _Target) -> None:
        self._release(target)
        target.is_gone = True
        if target.connection is not None:
            target.connection.abort()


def read_models(body: bytes) -> tuple[ServedModel, ...] | None:
    """The items of a /v1/models answer; None when it is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    items = document.get("data") if isinstance(document, dict) else None
    if not isinstance(items, list):
        return None
    return tuple(ServedModel(item["id"], item) for item in items[:MAX_MODELS] if _is_model(item))


def _is_model(item: object) -> bool:
    """Whether it names a model, and can be written as it was read: a deeper nesting can be read than written."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    try:
        orjson.dumps({"data": [item]})
    except orjson.JSONEncodeError:
        return False
    return True


def _tls(is_https: bool, verifies: bool) -> ssl.SSLContext | None:
    if not is_https:
        return None
    context = ssl.create_default_context()
    if not verifies:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
