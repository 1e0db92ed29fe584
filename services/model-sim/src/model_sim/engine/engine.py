"""One model replica in virtual time, after vLLM v1: requests in, tokens out, step by step.

`Scheduler` decides what a step does, `StepTimes` how long it takes; this module runs the steps. The engine never
sleeps, reads no clock and does no I/O: `step(now)` completes what ends by `now`, `next_event()` is when to call again.
Results depend on arrivals and seed alone, not on how often `step` is called.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, nextafter
from random import Random

from model_sim.engine.adapters import AdapterSlots
from model_sim.engine.cache import CacheListener, KvCache
from model_sim.engine.metrics import EngineMetrics
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import FinishReason, Output, Request
from model_sim.engine.requests import Requests
from model_sim.engine.scheduler import Scheduler
from model_sim.engine.sequence import Sequence, State
from model_sim.engine.steptime import StepTimes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The gauges of one instant."""

    running: int
    waiting: int
    deferred: int
    """Of the waiting ones, those that wait for an adapter slot or a KV transfer."""
    kv_cache_usage: float
    blocks_used: int
    blocks_cached: int
    running_adapters: tuple[str, ...]
    waiting_adapters: tuple[str, ...]
    asleep: bool


class Engine:
    """One model replica. Single-threaded; the caller keeps `now` from going back by more than it must."""

    def __init__(
        self,
        config: EngineConfig,
        profile: LatencyProfile,
        random: Random,
        *,
        max_model_len: int = 131072,
        every_token: bool = False,
        listener: CacheListener | None = None,
    ) -> None:
        self.config = config
        self.profile = profile
        self.metrics = EngineMetrics(max_model_len)
        self.adapters = AdapterSlots(config.max_loras, config.max_cpu_loras, profile)
        self.asleep = False
        self._cache = KvCache(config, listener)
        self._scheduler = Scheduler(config, self.adapters, self._cache, self.metrics)
        self._times = StepTimes(profile, random)
        self._every_token = every_token
        self._settles_each_step = listener is not None
        self._steps_matter = every_token or listener is not None
        """Whether anything outside can see a step that only decodes."""
        self._requests = Requests(self._scheduler, self._cache, self.metrics)
        self._aborts: list[Sequence] = []
        self._step_end: float | None = None
        """When the step under way ends; None between steps."""
        self._step_prompt_tokens = 0
        self._last_end = 0.0
        self._ready = 0.0
        self._frozen: tuple[float, Snapshot] | None = None
        """Since when the engine is frozen, and its gauges then."""
        self._late_aborts: list[str] = []

    # -- what the caller does ------------------------------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Raise what `submit` would raise: NeverFitsError for a prompt that not even an empty cache can hold."""
        self._requests.check(request)

    def submit(self, request: Request, now: float) -> None:
        """Queue a request; see `check` for what it refuses."""
        self.check(request)
        self._advance(_just_before(now))
        if self._step_end is None and not self._scheduler.has_work:
            self._ready = now
        sequence = self._requests.add(request, now)
        if request.remote_prefill:
            self._scheduler.transfers.begin(sequence, now + self.profile.transfer_seconds(request.prompt_tokens))
        else:
            self._scheduler.enqueue(sequence)

    def abort(self, request_id: str, now: float) -> None:
        """Give up a request; what it holds is free when the step under way ends. Unknown ids are ignored."""
        self._advance(_just_before(now))
        if self._frozen is not None:
            self._late_aborts.append(request_id)
            return
        sequence = self._requests.find(request_id)
        if sequence is None:
            return
        if self._step_end is not None and sequence.state in (State.PREFILLING, State.DECODING):
            self._aborts.append(sequence)
        else:
            self._requests.finish(sequence, max(now, self._last_end), FinishReason.ABORT)

    def step(self, now: float) -> list[Output]:
        """Complete every step that ends by `now`; what came out, in order."""
        self._advance(now)
        return self._requests.take_outputs()

    def next_event(self) -> float | None:
        """When `step` next has something to do; None while only a call of another method can change anything."""
        if self._frozen is not None:
            return None
        return self._step_end if self._step_end is not None else self._start_time()

    @property
    def has_outputs(self) -> bool:
        """Whether `step` has something to hand out already: a submission or an abort completed a step."""
        return bool(self._requests.outputs)

    @property
    def last_step(self) -> float:
        """When the last completed step ended."""
        return self._last_end

    def sleep(self, now: float) -> None:
        """Stop after the step under way and forget the prefix cache if nothing holds it."""
        self._advance(now)
        self.asleep = True
        self._cache.pool.reset()

    def wake(self, now: float) -> None:
        """Go on from `now` at the earliest. Nothing changes in an engine that is awake."""
        self._advance(now)
        if self.asleep:
            self.asleep = False
            self._ready = max(self._ready, now)

    def set_speed(self, speed: float) -> None:
        """From the next step on be so many times as fast as the profile."""
        self._times.set_speed(speed)

    def freeze(self, now: float) -> None:
        """Stop within the step under way, as an engine that hangs: until `thaw` no step ends and no gauge moves."""
        self._advance(now)
        if self._frozen is None:
            self._frozen = (now, self.snapshot())

    def thaw(self, now: float) -> None:
        """Go on where the engine was frozen."""
        if self._frozen is None:
            return
        (since, _), self._frozen = self._frozen, None
        self._ready = max(self._ready, now)
        if self._step_end is not None:
            self._step_end += now - since
        late, self._late_aborts = self._late_aborts, []
        for request_id in late:
            self.abort(request_id, now)

    def reset_prefix_cache(self) -> bool:
        """Forget all cached blocks; False (nothing done) while requests hold blocks."""
        return self._cache.pool.reset()

    def has(self, adapter: str) -> bool:
        """Whether any request, waiting or running, needs `adapter`."""
        return self._requests.has(adapter)

    def snapshot(self) -> Snapshot:
        """Gauges as of the last completed step."""
        if self._frozen is not None:
            return self._frozen[1]
        scheduler, pool = self._scheduler, self._cache.pool
        transferring = len(scheduler.transfers)
        return Snapshot(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting) + transferring,
            deferred=scheduler.waiting.deferred + transferring,
            kv_cache_usage=pool.used / pool.capacity,
            blocks_used=pool.used,
            blocks_cached=pool.cached,
            running_adapters=self.adapters.running,
            waiting_adapters=scheduler.waiting.adapters,
            asleep=self.asleep,
        )

    @property
    def is_empty(self) -> bool:
        """No request and no held block."""
        return not self._requests and not self._cache.pool.used

    # -- the loop ------------------------------------------------------------------------------------------------

    def _advance(self, limit: float) -> None:
        """Complete the steps that end by `limit`, and begin the one that is under way then."""
        while self._frozen is None:
            if self._step_end is None:
                start = self._start_time()
                if start is None or start > limit:
                    return
                self._begin(start)
            elif self._step_end > limit:
                return
            elif not self._complete_decode_steps(self._step_end, limit):
                self._complete(self._step_end)

    def _start_time(self) -> float | None:
        """When the next step begins; None where there is nothing to do."""
        if self.asleep:
            return None
        earliest = max(self._last_end, self._ready)
        if self._scheduler.has_work:
            return earliest
        arrival = self._scheduler.transfers.next_arrival
        return None if arrival is None else max(earliest, arrival)

    def _begin(self, start: float) -> None:
        prompts = self._scheduler.schedule(start, self._last_end)
        decoding = self._scheduler.decoding
        self._step_prompt_tokens = prompts.tokens
        self._step_end = start + self._times.step(decoding.steps, len(decoding.sequences), decoding.context, prompts)

    def _complete(self, end: float) -> None:
        """End the step under way: tokens out, finished and aborted requests gone."""
        self._step_end = None
        decoding, metrics = self._scheduler.decoding, self.metrics
        decoding.count_step()
        sequences = len(decoding.sequences)
        iteration_tokens = sequences + self._step_prompt_tokens
        if sequences:
            metrics.decoded((end - self._last_end,), sequences)
            if self._every_token:
                self._requests.outputs += decoding.progress(end)
        self._last_end = end
        if self._settles_each_step:
            decoding.settle()
        if self._step_prompt_tokens:
            for sequence in self._scheduler.prefilled():
                self._requests.prefilled(sequence, end)
                iteration_tokens += 1
        metrics.iteration_tokens.observe(iteration_tokens)
        for sequence in decoding.ended():
            self._requests.finish(sequence, end, sequence.finish_reason)
        for sequence in self._aborts:
            if sequence.state is not State.DONE:
                self._requests.finish(sequence, end, FinishReason.ABORT)
        self._aborts.clear()

    def _complete_decode_steps(self, end: float, limit: float) -> bool:
        """Complete at once the steps up to `limit` that only decode and that nobody outside sees; whether any was."""
        scheduler = self._scheduler
        if self._steps_matter or self._aborts or self.asleep or self._step_prompt_tokens or not scheduler.only_decodes:
            return False
        decoding = scheduler.decoding
        run = decoding.run(self._times, self._last_end, end, limit)
        if run is None:
            return False
        gaps, self._last_end, self._step_end = run
        tokens = len(decoding.sequences)
        self.metrics.decoded(gaps, tokens)
        self.metrics.iteration_tokens.observe(tokens, len(gaps))
        return True


def _just_before(moment: float) -> float:
    """The latest time before `moment`: what happens at `moment` itself waits for the next `step`."""
    return nextafter(moment, -inf)


def next_event(engines: Iterable[Engine]) -> float:
    """The earliest next event of several engines; infinity when all are idle."""
    return min((event for engine in engines if (event := engine.next_event()) is not None), default=inf)
