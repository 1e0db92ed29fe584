"""What a policy is that the lab compares, and Pointsman's picker under some configuration as one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any, Protocol

from epp.config import SchedulerConfig
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    Feedback,
    Outcome,
    Pick,
    PickId,
    PoolId,
    PoolSpec,
    Request,
    ServedModel,
    Ticket,
    Verdict,
)
from epp.picking.observer import NullObserver, Publisher
from epp.picking.picker import Picker
from lab.workloads.conversations import BASE_MODEL, Call
from model_sim.engine.engine import Snapshot
from model_sim.engine.profile import EngineConfig
from model_sim.engine.request import Completion

POOL = PoolId("lab/pool")
BYTES_PER_EVENT = 250
"""Of a token in an event stream, as vLLM sends them."""
_MODELS = (ServedModel(BASE_MODEL, {"id": BASE_MODEL, "object": "model", "parent": None}),)
_HEADERS = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Failure:
    """How a request ended that was not answered; Envoy's flags tell why."""

    status: int | None
    flags: tuple[str, ...]
    seconds: float


class Waits(Enum):
    """There is no verdict on a request yet."""

    WAITS = "waits"


class Policy(Protocol):
    """Chooses, and is told what a gateway would be told. All times are virtual seconds."""

    def choose(self, call: Call, now: float) -> int | Waits | None:
        """The engine for this request; None refuses it."""

    def decided(self) -> Sequence[tuple[str, int | None]]:
        """The verdicts since the last call on requests that waited, by their ids."""

    def ended(self, call_id: str, engine: int, now: float) -> None:
        """The answer is complete: what the proxy knows at once."""

    def reported(self, call_id: str, engine: int, done: Completion, now: float) -> None:
        """What the access log says shortly after."""

    def alive(self, call_id: str, ttft: float | None, seconds: float, tokens: int, now: float) -> None:
        """A heartbeat of the access log: the first byte, if there was one, and tokens so far."""

    def failed(self, call_id: str, engine: int, failure: Failure, now: float) -> None:
        """A request ended without an answer; the access log says how."""

    def scraped(self, engine: int, snapshot: Snapshot, now: float, computed_tokens: float) -> None:
        """An engine's metrics."""

    def scrape_interval(self, engine: int, now: float) -> float | None:
        """When to scrape this engine again; None is never."""

    def tick(self, now: float) -> None:
        """A second went by."""

    def present(self, engines: frozenset[int], now: float) -> None:
        """These are there from now on, and no others."""


@dataclass(frozen=True, slots=True)
class _Waiter:
    """A request that flow control lets wait."""

    call_id: str
    take: Callable[[str, Verdict], None]

    def decide(self, verdict: Verdict, now: float) -> None:
        """Take the verdict."""
        self.take(self.call_id, verdict)


class Pointsman:
    """The endpoint picker as a gateway drives it: picks, exact ends, access log entries and scrapes. One of several
    replicas has a name, and publishes to a journal."""

    def __init__(
        self,
        config: SchedulerConfig,
        engines: int,
        engine: EngineConfig,
        random: Random,
        *,
        replica: str = "lab",
        journal: Publisher | None = None,
    ) -> None:
        observer = NullObserver()
        self.picker = Picker(
            config, random=random, replica=replica, observer=observer, default_pool=POOL, journal=journal
        )
        self._engine = engine
        self._ids = [EndpointId(f"10.0.0.{number + 1}:8000") for number in range(engines)]
        self._numbers = {id_: number for number, id_ in enumerate(self._ids)}
        self._picks: dict[str, PickId] = {}
        self._decided: list[tuple[str, int | None]] = []
        self._endpoints = [
            Endpoint(id_, id_.partition(":")[0], 8000, f"engine-{at}") for at, id_ in enumerate(self._ids)
        ]
        self.present(frozenset(range(engines)), 0.0)

    def choose(self, call: Call, now: float) -> int | Waits | None:
        """The first target of the pick."""
        headers = {**_HEADERS, **call.headers, "x-request-id": call.id}
        waiter = _Waiter(call.id, self._take)
        verdict = self.picker.submit(Request(POOL, "POST", call.path, headers, call.body), waiter, now)
        return Waits.WAITS if isinstance(verdict, Ticket) else self._chosen(call.id, verdict)

    def decided(self) -> Sequence[tuple[str, int | None]]:
        """What flow control let go, or refused."""
        if not self._decided:
            return ()
        found, self._decided = self._decided, []
        return found

    def _take(self, call_id: str, verdict: Verdict) -> None:
        self._decided.append((call_id, self._chosen(call_id, verdict)))

    def _chosen(self, call_id: str, verdict: Verdict) -> int | None:
        if not isinstance(verdict, Pick):
            return None
        self._picks[call_id] = verdict.id
        return self._numbers[verdict.targets[0]]

    def ended(self, call_id: str, engine: int, now: float) -> None:
        """The end of the ext_proc stream."""
        self.picker.settle(self._picks[call_id], Outcome.ENDED, now)

    def reported(self, call_id: str, engine: int, done: Completion, now: float) -> None:
        """The access log entry, with the usage that the engine reported."""
        feedback = Feedback(
            pick_id=self._picks.pop(call_id),
            pool=POOL,
            is_final=True,
            served=self._ids[engine],
            status=200,
            ttft_seconds=done.first_token - done.arrival,
            duration_seconds=done.finished - done.arrival,
            prompt_tokens=done.prompt_tokens,
            completion_tokens=done.output_tokens,
            response_bytes=done.output_tokens * BYTES_PER_EVENT,
            cached_tokens=done.cached_tokens,
        )
        self.picker.observe(feedback, now)

    def alive(self, call_id: str, ttft: float | None, seconds: float, tokens: int, now: float) -> None:
        """A heartbeat of the access log."""
        beat = Feedback(
            self._picks[call_id], POOL, False, ttft_seconds=ttft, duration_seconds=seconds,
            response_bytes=tokens * BYTES_PER_EVENT,
        )  # fmt: skip
        self.picker.observe(beat, now)

    def failed(self, call_id: str, engine: int, failure: Failure, now: float) -> None:
        """The end of the stream, and the access log entry."""
        pick_id = self._picks.pop(call_id)
        self.picker.settle(pick_id, Outcome.ENDED, now)
        entry = Feedback(
            pick_id, POOL, True, self._ids[engine], failure.status, failure.flags, duration_seconds=failure.seconds
        )
        self.picker.observe(entry, now)

    def scraped(self, engine: int, snapshot: Snapshot, now: float, computed_tokens: float) -> None:
        """/metrics, as the picker reads it."""
        metrics = EngineMetrics(
            waiting=snapshot.waiting,
            running=snapshot.running,
            kv_usage=snapshot.kv_cache_usage,
            active_adapters=frozenset(snapshot.running_adapters),
            waiting_adapters=frozenset(snapshot.waiting_adapters),
            max_adapters=self._engine.max_loras,
            block_size=self._engine.block_size,
            block_count=self._engine.num_gpu_blocks,
            computed_tokens=computed_tokens,
            started_at=1.0,
        )
        self.picker.scraped(POOL, self._ids[engine], metrics, now)

    def scrape_interval(self, engine: int, now: float) -> float | None:
        """As the picker wants."""
        return self.picker.scrape_interval(POOL, self._ids[engine], now)

    def share(self, engine: int, now: float) -> float:
        """Of decisions, by the engine's standing."""
        (pool,) = self.picker.pools.describe(now)
        endpoints: Any = pool["endpoints"]
        return next(float(each["share"]) for each in endpoints if each["endpoint"] == self._ids[engine])

    def tick(self, now: float) -> None:
        """Reservations expire."""
        self.picker.pass_time(now)

    def present(self, engines: frozenset[int], now: float) -> None:
        """Discovery sees these."""
        there = tuple(self._endpoints[number] for number in sorted(engines))
        self.picker.replace_pools({POOL: PoolSpec(POOL, there)}, now)
        for endpoint in there:  # /v1/models: which name is no adapter's
            self.picker.models_listed(POOL, endpoint.id, _MODELS, now)
