"""One simulated model server: its engines, models, faults and counters, independent of HTTP routes.

Built once from settings; a process may hold many (a fleet). All state belongs to one event loop.
"""

import asyncio
import resource
from collections.abc import Sequence
from dataclasses import asdict
from random import Random

from gateway.service import clock, logs
from model_sim.api import fields
from model_sim.api.calls import Call, Choice
from model_sim.api.errors import ApiError
from model_sim.engine.engine import Engine
from model_sim.engine.request import NeverFitsError, Request
from model_sim.exposition.traffic import Traffic
from model_sim.exposition.vllm import EngineState, Exposition
from model_sim.replica import faults as fault_settings
from model_sim.replica.faults import Faults, RequestFault
from model_sim.replica.models import ModelRegistry
from model_sim.replica.planning import Planner
from model_sim.replica.settings import Settings
from model_sim.server.driver import CachePublisher, Driver
from model_sim.server.exchange import Exchange, Renderer
from model_sim.text import corpus
from model_sim.text.corpus import Corpus
from model_sim.text.tokenizer import Tokenizer

Planned = Sequence[tuple[Choice, Request]]

CORPUS_SEED = 2026
"""The stock of sentences is the same for all; the settings' seed decides which of them are used."""

log = logs.get(__name__)


class Simulator:
    """One server, as the HTTP routes use it."""

    def __init__(
        self,
        settings: Settings,
        tokenizer: Tokenizer,
        *,
        sentences: Corpus | None = None,
        publishers: Sequence[CachePublisher] = (),
    ) -> None:
        self.settings = settings
        self.tokenizer = tokenizer
        self.started = clock.wall()
        self._wall_offset = self.started - clock.monotonic()
        self.random = Random(settings.seed)
        self.models = ModelRegistry(settings, int(self.started))
        engines = [self._engine(rank, publishers) for rank in range(settings.data_parallel_size)]
        self.driver = Driver(engines, publishers)
        self.planner = Planner(
            Random(settings.seed + 1),
            sentences or corpus.build(Random(CORPUS_SEED), tokenizer),
            tokenizer,
            echo=settings.mode == "echo",
            block_size=settings.engine.block_size,
            keep_tokens=bool(publishers),
        )
        self.exposition = Exposition(
            model_name=settings.displayed_model,
            metrics=[engine.metrics for engine in engines],
            created=self.started,
            cache_config=cache_config(settings),
            max_loras=settings.engine.max_loras if settings.uses_lora else None,
        )
        self.traffic = Traffic(self.started)
        self.faults = Faults()
        self.released = asyncio.Event()
        """Set while no fault holds answers back."""
        self.released.set()
        self.draining = False
        self.open_exchanges = 0
        self.crashed = asyncio.Event()
        self._answered = 0
        self._faults_since = 0.0
        self._stale_metrics: bytes | None = None
        if settings.faults:
            self.set_faults(fields.parse_object(settings.faults.encode()))

    def _engine(self, rank: int, publishers: Sequence[CachePublisher]) -> Engine:
        settings = self.settings
        engine = Engine(
            settings.engine,
            settings.profile,
            Random(settings.seed * 1000 + rank),
            max_model_len=settings.max_model_len,
            every_token=True,
            listener=publishers[rank] if publishers else None,
        )
        for module in settings.lora_modules:
            engine.adapters.preload(module.name)
        return engine

    # -- requests ------------------------------------------------------------------------------------------------

    def plan(self, call: Call, request_id: str) -> Planned:
        """Write the answers of a call. Refuses what the context or the cache can never hold."""
        planned = self.planner.plan(call, request_id)
        try:
            for _, request in planned:
                self.driver.engines[0].check(request)
        except NeverFitsError as error:
            raise ApiError(
                f"The prompt needs {error.needed} KV cache blocks, but the cache has only {error.capacity}.",
                param="input_tokens",
            ) from None
        return planned

    def begin(self, planned: Planned, renderer: Renderer) -> Exchange:
        """Queue all choices of a call."""
        limit, in_flight = self.settings.max_queued_requests, self.driver.in_flight
        if limit is not None and in_flight + len(planned) > limit:
            raise ApiError(f"Too many requests: {in_flight} of at most {limit} are running or waiting.", status=503)
        exchange = Exchange([choice for choice, _ in planned], renderer)
        engine = self.driver.choose()
        for _, request in planned:
            self.driver.submit(request, engine, exchange)
        self.open_exchanges += 1
        return exchange

    def end(self, exchange: Exchange) -> None:
        """The exchange is over: abort what is unfinished."""
        for choice in exchange.choices:
            if not choice.finished:
                self.driver.abort(choice.request_id)
        self.open_exchanges -= 1
        self._answered += 1
        if self.faults.crash_after is not None and self._answered >= self.faults.crash_after:
            self.crashed.set()

    # -- faults --------------------------------------------------------------------------------------------------

    @property
    def faults_in_force(self) -> Faults:
        """The faults at this moment: those of a cycle come and go."""
        return self.faults.at(clock.monotonic() - self._faults_since)

    def draw_faults(self, model: str) -> dict[str, RequestFault]:
        """The faults that hit one request for `model`."""
        return dict(self.faults_in_force.draw(model, self.random))

    def set_faults(self, body: fields.Body) -> None:
        """Merge faults, as `POST /admin/faults` takes them, with those that are set."""
        self._apply(fault_settings.merged(self.faults, body))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._apply(Faults())

    def _apply(self, wanted: Faults) -> None:
        before, self.faults = self.faults, wanted
        now = self._faults_since = clock.monotonic()
        if wanted.crash_after != before.crash_after:
            self._answered = 0
        if wanted.metrics_mode != "stale":
            self._stale_metrics = None
        if "hold" in wanted.requests:
            self.released.clear()
        else:
            self.released.set()
        for engine in self.driver.engines:
            engine.set_speed(wanted.speed)
            if wanted.frozen:
                engine.freeze(now)
            else:
                engine.thaw(now)
        self.driver.wake()

    # -- metrics -------------------------------------------------------------------------------------------------

    def metrics_text(self) -> bytes:
        """The exposition as of now, or what a fault makes of it."""
        faults = self.faults_in_force
        if faults.metrics_mode != "stale":
            self._stale_metrics = None
        elif self._stale_metrics is not None:
            return self._stale_metrics
        states = [
            EngineState(engine.snapshot(), engine.metrics, max(self.started, engine.last_step + self._wall_offset))
            for engine in self.driver.engines
        ]
        text = self.exposition.render(states, faults.metrics) + self.traffic.render(_cpu_seconds())
        rendered = text.encode()
        if faults.metrics_mode == "stale":
            self._stale_metrics = rendered
        return rendered

    # -- engine control ------------------------------------------------------------------------------------------

    def sleep(self) -> None:
        for engine in self.driver.engines:
            engine.sleep(clock.monotonic())
        self.driver.wake()

    def wake(self) -> None:
        for engine in self.driver.engines:
            engine.wake(clock.monotonic())
        self.driver.wake()

    @property
    def is_sleeping(self) -> bool:
        return self.driver.engines[0].asleep

    def reset_prefix_cache(self) -> bool:
        done = [engine.reset_prefix_cache() for engine in self.driver.engines]  # every one, also after a refusal
        self.driver.wake()
        return all(done)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cache_config(settings: Settings) -> dict[str, str]:
    """The labels of `vllm:cache_config_info`: every field of vLLM's CacheConfig, as text."""
    engine = asdict(settings.engine)
    tokens = engine["num_gpu_blocks"] * engine["block_size"]
    return {
        "block_size": str(engine["block_size"]),
        "cache_dtype": "auto",
        "calculate_kv_scales": "False",
        "cpu_kvcache_space_bytes": "None",
        "cpu_offload_gb": "0.0",
        "enable_prefix_caching": str(engine["enable_prefix_caching"]),
        "gpu_memory_utilization": "0.9",
        "is_attention_free": "False",
        "kv_cache_max_concurrency": repr(tokens / settings.max_model_len),
        "kv_cache_memory_bytes": "None",
        "kv_cache_size_tokens": str(tokens),
        "kv_offloading_backend": "None",
        "kv_offloading_size": "None",
        "kv_sharing_fast_prefill": "False",
        "mamba_block_size": "None",
        "mamba_cache_dtype": "auto",
        "mamba_cache_mode": "none",
        "mamba_page_size_padded": "None",
        "mamba_ssm_cache_dtype": "auto",
        "num_cpu_blocks": "None",
        "num_gpu_blocks": str(engine["num_gpu_blocks"]),
        "num_gpu_blocks_override": "None",
        "prefix_caching_hash_algo": "xxh3_64",
        "sliding_window": "None",
        "swap_space": "0",
        "user_specified_block_size": "False",
    }
