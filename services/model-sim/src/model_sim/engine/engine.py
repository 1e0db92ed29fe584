"""The engine's loop in virtual time, after vLLM v1.

A step schedules every decoding sequence (one token each), then the unfinished prefill, then waiting requests, under
`max_num_seqs` and `max_num_batched_tokens`; what it costs is the profile's business. The engine never sleeps, reads
no clock and does no I/O: `step(now)` completes what ends by `now`, `next_event()` says when to call again. Results
depend on arrivals and seed alone, not on how often `step` is called.

Decoding is accounted lazily. Each step gives each decoding sequence exactly one token, so a sequence's count is the
step number less a constant, its last step is known when it starts, and blocks needed per step repeat with the block
size. A step in which nothing else changes therefore costs the same for one sequence as for a thousand.
"""

import heapq
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Protocol

from model_sim.engine.adapters import AdapterSlots
from model_sim.engine.blocks import BlockPool
from model_sim.engine.metrics import EngineMetrics
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import FinishReason, NeverFitsError, Output, Request
from model_sim.engine.sequence import NEVER, Sequence, State
from model_sim.engine.waiting import WaitingRequests

JITTER_TABLE_SIZE = 1021
"""Drawn once and walked in a circle: a prime, so that it does not beat with block or batch sizes."""
JITTER_FLOOR = 0.5
"""No step takes less than half of what the profile says."""


class CacheListener(Protocol):
    """Hears about the prefix cache: what a KV event publisher needs."""

    def stored(self, request: Request, blocks: list[tuple[int, int]]) -> None:
        """Blocks, as (index in the request, hash), became findable."""

    def removed(self, block_hash: int) -> None: ...

    def cleared(self) -> None: ...


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
    prefix_cache_queries: int
    prefix_cache_hits: int
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
        self._pool = BlockPool(config.num_gpu_blocks, listener)
        self._listener = listener
        self._every_token = every_token
        self._jitter = _jitter_table(profile.jitter, random)
        self._coasts = not every_token and listener is None
        self._outputs: list[Output] = []
        self._sequences: dict[str, Sequence] = {}
        self._order = 0
        self._waiting = WaitingRequests(self.adapters, config.adapter_patience)
        self._transfers: list[tuple[float, int, Sequence]] = []
        self._running: dict[str, Sequence] = {}
        self._decoders: dict[str, Sequence] = {}
        self._prefills: list[Sequence] = []
        self._finishes: list[tuple[int, int, Sequence]] = []
        self._aborts: list[Sequence] = []
        self._growth = [0] * config.block_size
        self._context = 0
        self._step_number = 0
        self._in_flight = False
        self._flight_end = 0.0
        self._flight_prefill = 0
        self._chunks: list[tuple[Sequence, int]] = []
        self._last_end = 0.0
        self._ready = 0.0
        self._may_admit = False

    # -- what the caller does ------------------------------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Raise what `submit` would raise: NeverFitsError for a prompt that not even an empty cache can hold."""
        if request.prompt_tokens < 1 or request.output_tokens < 1:
            raise ValueError(f"request {request.id}: expected at least one prompt token and one output token")
        if request.id in self._sequences:
            raise ValueError(f"request {request.id}: this id is in use")
        needed = -(-request.prompt_tokens // self.config.block_size)
        if needed > self._pool.capacity:
            raise NeverFitsError(needed, self._pool.capacity)

    def submit(self, request: Request, now: float) -> None:
        """Queue a request; see `check` for what it refuses."""
        self.check(request)
        self._advance(now, inclusive=False)
        block_size, capacity = self.config.block_size, self._pool.capacity
        if not self._in_flight and not self._has_work():
            self._ready = now
        sequence = Sequence(request, self._order, now)
        self._order += 1
        room = capacity * block_size - request.prompt_tokens + 1  # the last token's own KV is never computed
        if sequence.output_tokens > room:
            sequence.output_tokens, sequence.finish_reason = room, FinishReason.LENGTH
        self._sequences[request.id] = sequence
        if request.remote_prefill:
            ready = now + self.profile.transfer_seconds(request.prompt_tokens)
            sequence.state = State.TRANSFERRING
            heapq.heappush(self._transfers, (ready, sequence.order, sequence))
        else:
            self._enqueue(sequence)

    def abort(self, request_id: str, now: float) -> None:
        """Give up a request; what it holds is free when the step under way ends. Unknown ids are ignored."""
        self._advance(now, inclusive=False)
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return
        if self._in_flight and sequence.state in (State.PREFILLING, State.DECODING):
            self._aborts.append(sequence)
        else:
            self._finish(sequence, max(now, self._last_end), FinishReason.ABORT)

    def step(self, now: float) -> list[Output]:
        """Complete every step that ends by `now`; what came out, in order."""
        self._advance(now, inclusive=True)
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_event(self) -> float | None:
        """When `step` next has something to do; None while only a submission can change anything."""
        if self._in_flight:
            return self._flight_end
        return self._start_time()

    @property
    def has_outputs(self) -> bool:
        """Whether `step` has something to hand out already: a submission or an abort completed a step."""
        return bool(self._outputs)

    @property
    def last_step(self) -> float:
        """When the last completed step ended."""
        return self._last_end

    def sleep(self, now: float) -> None:
        """Stop after the step under way and forget the prefix cache if nothing holds it."""
        self._advance(now, inclusive=True)
        self.asleep = True
        self._pool.reset()

    def wake(self, now: float) -> None:
        self.asleep = False
        self._ready = max(self._ready, now)

    def reset_prefix_cache(self) -> bool:
        """Forget all cached blocks; False (nothing done) while requests hold blocks."""
        return self._pool.reset()

    def has(self, adapter: str) -> bool:
        """Whether any request, waiting or running, needs `adapter`."""
        return any(sequence.request.adapter == adapter for sequence in self._sequences.values())

    def snapshot(self) -> Snapshot:
        """Gauges as of the last completed step."""
        return Snapshot(
            running=len(self._running),
            waiting=len(self._waiting) + len(self._transfers),
            deferred=self._waiting.deferred + len(self._transfers),
            kv_cache_usage=self._pool.used / self._pool.capacity,
            blocks_used=self._pool.used,
            blocks_cached=self._pool.cached,
            running_adapters=self.adapters.running,
            waiting_adapters=self._waiting.adapters,
            prefix_cache_queries=self.metrics.prefix_cache_queries,
            prefix_cache_hits=self.metrics.prefix_cache_hits,
            asleep=self.asleep,
        )

    @property
    def is_empty(self) -> bool:
        """No request and no held block."""
        return not self._sequences and not self._pool.used

    # -- the loop ------------------------------------------------------------------------------------------------

    def _advance(self, limit: float, *, inclusive: bool) -> None:
        while True:
            if not self._in_flight:
                start = self._start_time()
                if start is None or start > limit or (start == limit and not inclusive):
                    return
                self._begin(start)
                continue
            end = self._flight_end
            if end > limit or (end == limit and not inclusive):
                return
            self._complete(end)
            if self._coasts and self._is_steady():
                self._coast(limit, inclusive=inclusive)

    def _is_steady(self) -> bool:
        """Nothing but decoding goes on, and nothing can change before a sequence ends or someone calls."""
        return bool(
            self._decoders
            and not self._prefills
            and not self._transfers
            and not self.asleep
            and not (self._may_admit and self._waiting)
        )

    def _coast(self, limit: float, *, inclusive: bool) -> None:
        """Run steady steps in one tight loop, up to the limit, a sequence's end, or a shortage of blocks.

        The same arithmetic in the same order as `_begin` and `_complete`, so not a bit of any result differs.
        """
        pool, growth, block_size = self._pool, self._growth, self.config.block_size
        profile, jitter = self.profile, self._jitter
        latency = self.metrics.inter_token_latency
        counts, bounds = latency.counts, latency.bounds
        decoding, context, number, last_end = len(self._decoders), self._context, self._step_number, self._last_end
        fixed, per_context = profile.base + profile.per_decode_sequence * decoding, profile.per_context_token
        first, stop = number, self._finishes[0][0]
        while number < stop:
            need = growth[number % block_size]
            if need:
                if need > pool.capacity - pool.used:
                    break
                pool.take(need)
            seconds = fixed + per_context * (context + decoding)
            if jitter:
                seconds *= jitter[number % JITTER_TABLE_SIZE]
            end = last_end + seconds
            if end > limit or (end == limit and not inclusive) or number + 1 == stop:
                self._in_flight, self._flight_end, self._flight_prefill = True, end, 0
                break
            gap = end - last_end
            counts[bisect_left(bounds, gap)] += decoding
            latency.total += gap * decoding
            last_end = end
            context += decoding
            number += 1
        self._context, self._step_number, self._last_end = context, number, last_end
        steps = number - first
        if steps:
            latency.count += steps * decoding
            self.metrics.generation_tokens += steps * decoding
            self.metrics.iteration_tokens.observe(decoding, steps)

    def _has_work(self) -> bool:
        return bool(self._running) or bool(self._waiting)

    def _start_time(self) -> float | None:
        if self.asleep:
            return None
        if self._has_work():
            return max(self._last_end, self._ready)
        if self._transfers:
            return max(self._last_end, self._transfers[0][0])
        return None

    def _begin(self, start: float) -> None:
        """Schedule one step: decoding sequences, the unfinished prefill, then admissions."""
        while self._transfers and self._transfers[0][0] <= start:
            self._enqueue(heapq.heappop(self._transfers)[2])
        profile = self.profile
        preempted = self._grow()
        decoding = len(self._decoders)
        seconds = profile.base + profile.per_decode_sequence * decoding
        if decoding:
            seconds += profile.per_context_token * (self._context + decoding)
        self._flight_prefill = 0
        if self._prefills or (self._may_admit and self._waiting):
            budget = self.config.max_num_batched_tokens - decoding
            seconds += self._schedule_prefills(start, budget, admit=not preempted)
        if profile.jitter:
            seconds *= self._jitter[self._step_number % JITTER_TABLE_SIZE]
        self._flight_end = start + seconds
        self._in_flight = True

    def _grow(self) -> bool:
        """Take the blocks that decoding sequences fill next, preempting the newest while too few are free."""
        pool, growth = self._pool, self._growth
        slot = self._step_number % self.config.block_size
        preempted = False
        while growth[slot] > pool.capacity - pool.used:
            self._preempt(next(reversed(self._running.values())))
            preempted = True
        if growth[slot]:
            pool.take(growth[slot])
        return preempted

    def _schedule_prefills(self, start: float, budget: int, *, admit: bool) -> float:
        """Fill the token budget with prompt tokens; the seconds these add to the step."""
        profile = self.profile
        tokens = pairs = 0
        for sequence in self._prefills:
            chunk = min(sequence.target - sequence.computed, budget)
            if chunk < 1:
                break
            pairs += self._schedule_chunk(sequence, chunk)
            tokens += chunk
            budget -= chunk
        load = 0.0
        while admit and budget > 0 and self._may_admit and self._waiting:
            sequence_or_none = self._admit(start, budget)
            if sequence_or_none is None:
                break
            sequence = sequence_or_none
            if sequence.request.adapter is not None:
                load += self.adapters.acquire(sequence.request.adapter)
            chunk = min(sequence.target - sequence.computed, budget)
            pairs += self._schedule_chunk(sequence, chunk)
            tokens += chunk
            budget -= chunk
        self._flight_prefill = tokens
        return load + profile.per_prefill_token * tokens + profile.per_prefill_pair * pairs

    def _schedule_chunk(self, sequence: Sequence, chunk: int) -> int:
        """Note that the step under way computes `chunk` prompt tokens; the attention pairs that takes."""
        pairs = chunk * sequence.computed + chunk * (chunk + 1) // 2
        self._chunks.append((sequence, chunk))
        sequence.computed += chunk
        self._settle(sequence, sequence.computed)
        return pairs

    def _admit(self, start: float, budget: int) -> Sequence | None:
        """Move the next admissible request from waiting to running; None where it must wait."""
        config, pool = self.config, self._pool
        if len(self._running) >= config.max_num_seqs:
            self._may_admit = False
            return None
        sequence = self._waiting.first(start)
        if sequence is None:
            self._may_admit = False
            return None
        self._settle_decoders()
        hashes, block_size, target = sequence.request.block_hashes, config.block_size, sequence.target
        hits = pool.hits(hashes, (target - 1) // block_size) if config.enable_prefix_caching else 0
        fresh = -(-target // block_size) - hits
        if fresh > pool.free - pool.idle_among(hashes, hits):
            self._may_admit = False
            return None
        remote = sequence.request.remote_prefill and not sequence.preemptions
        computed = target - 1 if remote else hits * block_size
        if not config.enable_chunked_prefill and target - computed > budget and self._running:
            return None  # the whole prompt or nothing: wait for a step with more room
        self._waiting.pop(sequence)
        for index in range(hits):
            pool.hold(hashes[index])
        pool.take(fresh)
        sequence.shared = list(hashes[:hits])
        sequence.settled = hits
        sequence.computed = computed
        sequence.state = State.PREFILLING
        self._running[sequence.request.id] = sequence
        self._prefills.append(sequence)
        self._count_admission(sequence, hits * block_size, start)
        return sequence

    def _count_admission(self, sequence: Sequence, cached: int, start: float) -> None:
        if sequence.preemptions:
            return
        sequence.scheduled = start
        metrics, prompt = self.metrics, sequence.request.prompt_tokens
        sequence.cached_tokens = cached
        if self.config.enable_prefix_caching:
            metrics.prefix_cache_queries += prompt
            metrics.prefix_cache_hits += cached
        if sequence.request.remote_prefill:
            metrics.external_prefix_cache_queries += prompt - cached
            metrics.external_prefix_cache_hits += max(0, sequence.computed - cached)

    def _complete(self, end: float) -> None:
        """End the step under way: tokens out, finished and aborted requests gone."""
        self._in_flight = False
        self._step_number += 1
        metrics, decoding = self.metrics, len(self._decoders)
        if decoding:
            self._context += decoding
            metrics.generation_tokens += decoding
            metrics.inter_token_latency.observe(end - self._last_end, decoding)
            if self._every_token:
                self._emit_decoded(end)
        iteration_tokens = decoding + self._flight_prefill
        self._last_end = end
        if self._listener is not None:
            self._settle_decoders()
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            for sequence, _ in chunks:
                if sequence.computed == sequence.target:
                    self._prefilled(sequence, end)
                    iteration_tokens += 1
        metrics.iteration_tokens.observe(iteration_tokens)
        finishes, number = self._finishes, self._step_number
        while finishes and finishes[0][0] <= number:
            finish_step, _, sequence = heapq.heappop(finishes)
            if sequence.state == State.DECODING and sequence.base + sequence.output_tokens == finish_step:
                self._finish(sequence, end, sequence.finish_reason)
        for sequence in self._aborts:
            if sequence.state != State.DONE:
                self._finish(sequence, end, FinishReason.ABORT)
        self._aborts.clear()

    def _emit_decoded(self, end: float) -> None:
        number, outputs = self._step_number, self._outputs
        for request_id, sequence in self._decoders.items():
            tokens = number - sequence.base
            if tokens < sequence.output_tokens:  # the last token is emitted with the completion
                outputs.append(Output(request_id, end, tokens, sequence.cached_tokens, None))

    def _prefilled(self, sequence: Sequence, end: float) -> None:
        """The prompt is computed: its next token is out, and from the next step on it decodes."""
        request, metrics = sequence.request, self.metrics
        self._prefills.remove(sequence)
        sequence.generated += 1
        metrics.generation_tokens += 1
        if sequence.first_token < 0:
            sequence.first_token = end
            metrics.time_to_first_token.observe(end - sequence.arrival)
            metrics.prompt_done(request.prompt_tokens, sequence.cached_tokens, transferred=request.remote_prefill)
        else:
            metrics.inter_token_latency.observe(end - sequence.last_token)
        sequence.base = self._step_number - sequence.generated
        if sequence.generated >= sequence.output_tokens:
            self._finish(sequence, end, sequence.finish_reason)
            return
        self._outputs.append(Output(request.id, end, sequence.generated, sequence.cached_tokens, None))
        sequence.state = State.DECODING
        sequence.settles_at = self._next_settling(sequence)
        self._decoders[request.id] = sequence
        self._context += request.prompt_tokens + sequence.generated - 1
        self._growth[self._growth_slot(sequence)] += 1
        heapq.heappush(self._finishes, (sequence.base + sequence.output_tokens, sequence.order, sequence))

    # -- leaving the batch ---------------------------------------------------------------------------------------

    def _growth_slot(self, sequence: Sequence) -> int:
        """The step numbers, modulo block size, at which a decoding sequence needs one more block."""
        return (sequence.base + 1 - sequence.request.prompt_tokens) % self.config.block_size

    def _preempt(self, sequence: Sequence) -> None:
        """Take a running sequence's blocks; it will be computed again, tokens and all, when there is room."""
        self._leave_batch(sequence)
        sequence.preemptions += 1
        sequence.last_token = self._last_end
        sequence.target = sequence.request.prompt_tokens + sequence.generated
        sequence.computed = 0
        self.metrics.preemptions += 1
        self._enqueue(sequence)

    def _leave_batch(self, sequence: Sequence) -> None:
        request = sequence.request
        if sequence.state == State.DECODING:
            sequence.generated = self._step_number - sequence.base
            held = request.prompt_tokens + sequence.generated - 1
            self._settle(sequence, held)
            self._context -= held
            self._growth[self._growth_slot(sequence)] -= 1
            del self._decoders[request.id]
        else:
            held = sequence.target
            if sequence in self._prefills:
                self._prefills.remove(sequence)
        blocks = -(-held // self.config.block_size)
        self._pool.release(sequence.shared, blocks - len(sequence.shared))
        sequence.shared = []
        sequence.settled = 0
        del self._running[request.id]
        if request.adapter is not None:
            self.adapters.release(request.adapter)
        self._may_admit = True

    def _finish(self, sequence: Sequence, end: float, reason: FinishReason) -> None:
        request = sequence.request
        if sequence.state == State.WAITING:
            self._waiting.remove(sequence)
            self._may_admit = True
        elif sequence.state == State.TRANSFERRING:
            self._transfers = [entry for entry in self._transfers if entry[2] is not sequence]
            heapq.heapify(self._transfers)
        else:
            self._leave_batch(sequence)
        sequence.state = State.DONE
        del self._sequences[request.id]
        completion = sequence.completion(reason, end)
        self.metrics.finish(request, completion)
        self._outputs.append(Output(request.id, end, sequence.generated, sequence.cached_tokens, completion))

    # -- queue and cache -----------------------------------------------------------------------------------------

    def _enqueue(self, sequence: Sequence) -> None:
        sequence.state = State.WAITING
        self._waiting.push(sequence)
        self._may_admit = True

    def _settle(self, sequence: Sequence, computed: int) -> None:
        """Make the blocks that `computed` tokens fill findable by hash."""
        request = sequence.request
        full = min(computed // self.config.block_size, len(request.block_hashes))
        if full <= sequence.settled or not self.config.enable_prefix_caching:
            return
        first, pool = sequence.settled, self._pool
        shared = [block_hash for block_hash in request.block_hashes[first:full] if pool.share(block_hash)]
        sequence.shared.extend(shared)
        sequence.settled = full
        if shared and self._listener is not None:
            new = set(shared)
            blocks = [(i, request.block_hashes[i]) for i in range(first, full) if request.block_hashes[i] in new]
            self._listener.stored(request, blocks)

    def _settle_decoders(self) -> None:
        number = self._step_number
        for sequence in self._decoders.values():
            if number >= sequence.settles_at:
                self._settle(sequence, sequence.request.prompt_tokens + number - sequence.base - 1)
                sequence.settles_at = self._next_settling(sequence)

    def _next_settling(self, sequence: Sequence) -> int:
        """The step number at which a decoding sequence has filled its next block that has a hash."""
        request = sequence.request
        if sequence.settled >= len(request.block_hashes) or not self.config.enable_prefix_caching:
            return NEVER
        return (sequence.settled + 1) * self.config.block_size - request.prompt_tokens + sequence.base + 1


def _jitter_table(deviation: float, random: Random) -> list[float]:
    if not deviation:
        return []
    return [max(JITTER_FLOOR, random.gauss(1.0, deviation)) for _ in range(JITTER_TABLE_SIZE)]


def next_event(engines: Iterable[Engine]) -> float:
    """The earliest next event of several engines; infinity when all are idle."""
    return min((event for engine in engines if (event := engine.next_event()) is not None), default=inf)
