"""The requests of an engine from submission to completion, and the outputs on the way.

Each request has one `Sequence` inside and ends exactly once: finished, or aborted. This module keeps the books of that;
it never decides when a step ends or which sequence is in it.
"""

from model_sim.engine.cache import KvCache
from model_sim.engine.metrics import EngineMetrics
from model_sim.engine.request import FinishReason, Output, Request
from model_sim.engine.scheduler import Scheduler
from model_sim.engine.sequence import Sequence


class Requests:
    """Sequences by request id, and outputs that nobody has taken yet. One owner: the engine."""

    __slots__ = ("_arrivals", "_cache", "_metrics", "_scheduler", "_sequences", "outputs")

    def __init__(self, scheduler: Scheduler, cache: KvCache, metrics: EngineMetrics) -> None:
        self.outputs: list[Output] = []
        self._scheduler = scheduler
        self._cache = cache
        self._metrics = metrics
        self._sequences: dict[str, Sequence] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._sequences)

    def check(self, request: Request) -> None:
        """Raise what `add` would raise: NeverFitsError for a prompt that not even an empty cache can hold."""
        if request.prompt_tokens < 1 or request.output_tokens < 1:
            raise ValueError(f"request {request.id}: expected at least one prompt token and one output token")
        if request.id in self._sequences:
            raise ValueError(f"request {request.id}: this id is in use")
        self._cache.check(request.prompt_tokens)

    def add(self, request: Request, now: float) -> Sequence:
        """The sequence of a new request; it is not queued yet."""
        sequence = Sequence(request, self._arrivals, now)
        self._arrivals += 1
        longest = self._cache.longest_answer(request.prompt_tokens)
        if sequence.output_tokens > longest:
            sequence.output_tokens, sequence.finish_reason = longest, FinishReason.LENGTH
        self._sequences[request.id] = sequence
        return sequence

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request that has not ended."""
        return self._sequences.get(request_id)

    def has(self, adapter: str) -> bool:
        """Whether any request, waiting or running, needs `adapter`."""
        return any(sequence.request.adapter == adapter for sequence in self._sequences.values())

    def take_outputs(self) -> list[Output]:
        """The outputs since the last call, in order."""
        outputs, self.outputs = self.outputs, []
        return outputs

    def prefilled(self, sequence: Sequence, end: float) -> None:
        """The prompt is computed: its next token is out, and from the next step on it decodes."""
        request, metrics = sequence.request, self._metrics
        sequence.generated += 1
        metrics.generation_tokens += 1
        if sequence.first_token < 0:
            sequence.first_token = end
            metrics.first_token(request, end - sequence.arrival, sequence.cached_tokens)
        else:
            metrics.inter_token_latency.observe(end - sequence.last_token)
        if sequence.generated >= sequence.output_tokens:
            self.finish(sequence, end, sequence.finish_reason)
            return
        self.outputs.append(Output(request.id, end, sequence.generated, sequence.cached_tokens, None))
        self._scheduler.decoding.join(sequence)

    def finish(self, sequence: Sequence, end: float, reason: FinishReason) -> None:
        """The request is over."""
        self._scheduler.remove(sequence)
        request = sequence.request
        del self._sequences[request.id]
        completion = sequence.completion(reason, end)
        self._metrics.finish(request, completion)
        self.outputs.append(Output(request.id, end, sequence.generated, sequence.cached_tokens, completion))
