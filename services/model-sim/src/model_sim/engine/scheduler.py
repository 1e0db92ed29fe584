"""Which sequences take part in a step: decoding ones, unfinished prompts, then waiting requests, as in vLLM v1.

The scheduler moves sequences between transfer, waiting, prefill and decoding under `max_num_seqs`,
`max_num_batched_tokens` and the blocks and adapter slots there are. It knows no durations and completes no step: the
engine calls `schedule` when a step begins and reports what the step brought.
"""

from model_sim.engine.adapters import AdapterSlots
from model_sim.engine.cache import KvCache
from model_sim.engine.decoding import Decoding
from model_sim.engine.metrics import EngineMetrics
from model_sim.engine.profile import EngineConfig
from model_sim.engine.sequence import Sequence, State
from model_sim.engine.steptime import NO_PROMPTS, PromptWork
from model_sim.engine.transfers import Transfers
from model_sim.engine.waiting import WaitingRequests


class Scheduler:
    """The sequences of one engine by what they do. One owner: the engine."""

    __slots__ = (
        "_adapters",
        "_cache",
        "_config",
        "_may_admit",
        "_metrics",
        "_prefills",
        "decoding",
        "running",
        "transfers",
        "waiting",
    )

    def __init__(self, config: EngineConfig, adapters: AdapterSlots, cache: KvCache, metrics: EngineMetrics) -> None:
        self._config = config
        self._adapters = adapters
        self._cache = cache
        self._metrics = metrics
        self.running: dict[str, Sequence] = {}
        """Sequences in the batch, in order of admission."""
        self.waiting = WaitingRequests(adapters, config.adapter_patience)
        self.transfers = Transfers()
        self.decoding = Decoding(config.block_size, cache)
        self._prefills: list[Sequence] = []
        self._may_admit = False
        """False: nothing has changed since the last refusal, so that asking again is useless."""

    @property
    def has_work(self) -> bool:
        """Whether a step can begin."""
        return bool(self.running) or bool(self.waiting)

    @property
    def only_decodes(self) -> bool:
        """Whether nothing but decoding goes on, and nothing can change before a sequence ends or a request comes."""
        if self._prefills or (self._may_admit and self.waiting) or self.transfers:
            return False
        return bool(self.decoding.sequences)

    def enqueue(self, sequence: Sequence) -> None:
        """Let a sequence wait for its turn."""
        sequence.state = State.WAITING
        self.waiting.push(sequence)
        self._may_admit = True

    def schedule(self, start: float, previous_end: float) -> PromptWork:
        """Fill the step that begins at `start`; the prompts it computes. The one before it ended at `previous_end`."""
        if self.transfers:
            for sequence in self.transfers.arrived(start):
                self.enqueue(sequence)
        preempted = False
        while not self.decoding.grow():
            self._preempt(next(reversed(self.running.values())), previous_end)
            preempted = True
        if not self._prefills and not (self._may_admit and self.waiting):
            return NO_PROMPTS
        budget = self._config.max_num_batched_tokens - len(self.decoding.sequences)
        work = self._continue_prompts(budget)
        return work if preempted else self._begin_prompts(start, budget, work)

    def prefilled(self) -> list[Sequence]:
        """Take out the sequences whose prompts are computed now that the step is complete."""
        prefills = self._prefills
        self._prefills = [sequence for sequence in prefills if sequence.computed < sequence.target]
        return [sequence for sequence in prefills if sequence.computed == sequence.target]

    def remove(self, sequence: Sequence) -> None:
        """The sequence is over, wherever it is."""
        if sequence.state is State.WAITING:
            self.waiting.remove(sequence)
            self._may_admit = True
        elif sequence.state is State.TRANSFERRING:
            self.transfers.remove(sequence)
        else:
            self._leave_batch(sequence)
        sequence.state = State.DONE

    def _preempt(self, sequence: Sequence, now: float) -> None:
        """Take a running sequence's blocks; it will be computed again, tokens and all, when there is room."""
        self._leave_batch(sequence)
        sequence.preemptions += 1
        sequence.last_token = now
        sequence.target = sequence.request.prompt_tokens + sequence.generated
        sequence.computed = 0
        self._metrics.preemptions += 1
        self.enqueue(sequence)

    def _continue_prompts(self, budget: int) -> PromptWork:
        tokens = pairs = 0
        for sequence in self._prefills:
            if tokens >= budget:
                break
            chunk = min(sequence.target - sequence.computed, budget - tokens)
            pairs += self._compute(sequence, chunk)
            tokens += chunk
        return PromptWork(tokens, pairs)

    def _begin_prompts(self, start: float, budget: int, work: PromptWork) -> PromptWork:
        """Admit waiting requests while token budget, batch and cache have room."""
        tokens, pairs, load = work
        while tokens < budget and self._may_admit and self.waiting:
            sequence = self._admit(start, budget - tokens)
            if sequence is None:
                break
            if sequence.request.adapter is not None:
                load += self._adapters.acquire(sequence.request.adapter)
            chunk = min(sequence.target - sequence.computed, budget - tokens)
            pairs += self._compute(sequence, chunk)
            tokens += chunk
        return PromptWork(tokens, pairs, load)

    def _compute(self, sequence: Sequence, chunk: int) -> int:
        """Compute `chunk` prompt tokens in this step; the attention pairs that takes."""
        pairs = chunk * sequence.computed + chunk * (chunk + 1) // 2
        sequence.computed += chunk
        self._cache.settle(sequence, sequence.computed)
        return pairs

    def _admit(self, start: float, budget: int) -> Sequence | None:
        """Move the next admissible request from waiting to running; None where it must wait."""
        config, cache = self._config, self._cache
        sequence = self.waiting.first(start) if len(self.running) < config.max_num_seqs else None
        if sequence is None:
            self._may_admit = False
            return None
        self.decoding.settle()
        hits = cache.hits(sequence)
        if not cache.fits(sequence, hits):
            self._may_admit = False
            return None
        remote = sequence.request.remote_prefill and not sequence.preemptions
        computed = sequence.target - 1 if remote else cache.cached_tokens(hits)
        if not config.enable_chunked_prefill and sequence.target - computed > budget and self.running:
            return None  # the whole prompt or nothing: wait for a step with more room
        self.waiting.pop(sequence)
        cache.claim(sequence, hits)
        sequence.computed = computed
        sequence.state = State.PREFILLING
        self.running[sequence.request.id] = sequence
        self._prefills.append(sequence)
        if not sequence.preemptions:
            sequence.scheduled = start
            sequence.cached_tokens = cache.cached_tokens(hits)
            self._count_admission(sequence)
        return sequence

    def _count_admission(self, sequence: Sequence) -> None:
        metrics, prompt, cached = self._metrics, sequence.request.prompt_tokens, sequence.cached_tokens
        if self._config.enable_prefix_caching:
            metrics.prefix_cache_queries += prompt
            metrics.prefix_cache_hits += cached
        if sequence.request.remote_prefill:
            metrics.external_prefix_cache_queries += prompt - cached
            metrics.external_prefix_cache_hits += max(0, sequence.computed - cached)

    def _leave_batch(self, sequence: Sequence) -> None:
        request = sequence.request
        if sequence.state is State.DECODING:
            held = self.decoding.leave(sequence)
        else:
            held = sequence.target
            if sequence in self._prefills:
                self._prefills.remove(sequence)
        self._cache.release(sequence, held)
        del self.running[request.id]
        if request.adapter is not None:
            self._adapters.release(request.adapter)
        self._may_admit = True
