"""The sequences that decode, accounted lazily, and the number of the step.

Each step gives each decoding sequence exactly one token, so a sequence's count is the step number less a constant
(`base`), the step of its last token is known when it joins, and the blocks needed per step repeat with the block size.
A step in which nothing else happens therefore costs the same for one sequence as for a thousand, and `run` completes
many such steps in one tight loop. It never decides who joins or leaves: the scheduler does.
"""

import heapq

from model_sim.engine.cache import KvCache
from model_sim.engine.request import Output
from model_sim.engine.sequence import Sequence, State
from model_sim.engine.steptime import StepTimes

Run = tuple[list[float], float, float | None]
"""Decode steps completed one after another: the seconds between their tokens, when the last one ended, and when the
step that is under way then ends (None where it lacks blocks)."""


class Decoding:
    """Decoding sequences and the step counter. One owner: the scheduler."""

    __slots__ = ("_block_size", "_cache", "_ends", "_growth", "context", "sequences", "steps")

    def __init__(self, block_size: int, cache: KvCache) -> None:
        self.steps = 0
        """Steps completed, those without any decoding included."""
        self.context = 0
        """Tokens whose KV the decoding sequences hold."""
        self._block_size = block_size
        self._cache = cache
        self.sequences: dict[str, Sequence] = {}
        """Read-only for everyone else; they come by `join` and go by `leave`."""
        self._ends: list[tuple[int, int, Sequence]] = []
        self._growth = [0] * block_size

    def join(self, sequence: Sequence) -> None:
        """From the next step on the sequence gets one token per step."""
        sequence.base = self.steps - sequence.generated
        sequence.state = State.DECODING
        sequence.settles_at = self._cache.next_settling(sequence)
        self.sequences[sequence.request.id] = sequence
        self.context += sequence.request.prompt_tokens + sequence.generated - 1
        self._growth[self._growth_slot(sequence)] += 1
        heapq.heappush(self._ends, (sequence.base + sequence.output_tokens, sequence.order, sequence))

    def leave(self, sequence: Sequence) -> int:
        """Count the sequence's tokens and forget it; the tokens whose KV it holds."""
        sequence.generated = self.steps - sequence.base
        held = sequence.request.prompt_tokens + sequence.generated - 1
        self._cache.settle(sequence, held)
        self.context -= held
        self._growth[self._growth_slot(sequence)] -= 1
        del self.sequences[sequence.request.id]
        return held

    def grow(self) -> bool:
        """Take the blocks that the next step fills; False (nothing done) where fewer are free."""
        needed, pool = self._growth[self.steps % self._block_size], self._cache.pool
        if needed > pool.capacity - pool.used:
            return False
        if needed:
            pool.take(needed)
        return True

    def count_step(self) -> None:
        """A step is complete: each sequence has one token more."""
        self.steps += 1
        self.context += len(self.sequences)

    def progress(self, end: float) -> list[Output]:
        """One output for each sequence that goes on after the step that ended at `end`."""
        steps = self.steps
        return [
            Output(request_id, end, steps - sequence.base, sequence.cached_tokens, None)
            for request_id, sequence in self.sequences.items()
            if steps < sequence.base + sequence.output_tokens
        ]

    def ended(self) -> list[Sequence]:
        """Sequences whose last token is out, in order of arrival. The caller makes them leave."""
        ends, steps = self._ends, self.steps
        ended: list[Sequence] = []
        while ends and ends[0][0] <= steps:
            step, _, sequence = heapq.heappop(ends)
            if sequence.state is State.DECODING and sequence.base + sequence.output_tokens == step:
                ended.append(sequence)
        return ended

    def settle(self) -> None:
        """Make the blocks filled since the last call findable by hash."""
        steps, cache = self.steps, self._cache
        for sequence in self.sequences.values():
            if steps >= sequence.settles_at:
                cache.settle(sequence, sequence.request.prompt_tokens + steps - sequence.base - 1)
                sequence.settles_at = cache.next_settling(sequence)

    def run(self, times: StepTimes, previous_end: float, step_end: float, limit: float) -> Run | None:
        """Complete the step under way and those after it while nothing but decoding happens; None if there is none.

        The step under way ends at `step_end`, the one before it ended at `previous_end`. The run stops at the first
        step that ends after `limit`, brings a sequence's last token, or cannot have its blocks.
        """
        steps, last, decoding = self.steps, self._ends[0][0] - 1, len(self.sequences)
        if steps >= last or step_end > limit:
            return None
        growth, block_size, pool = self._growth, self._block_size, self._cache.pool
        gaps: list[float] = []
        end, begun = previous_end, True
        context, duration = self.context, times.decode_step
        while True:
            gaps.append(step_end - end)
            end = step_end
            steps += 1
            needed = growth[steps % block_size]
            if needed:
                begun = needed <= pool.capacity - pool.used
                if not begun:
                    break
                pool.take(needed)
            context += decoding
            step_end = end + duration(steps, decoding, context)
            if step_end > limit or steps == last:
                break
        self.steps = steps
        self.context += len(gaps) * decoding
        return gaps, end, step_end if begun else None

    def _growth_slot(self, sequence: Sequence) -> int:
        """The step numbers, modulo block size, at which a decoding sequence needs one more block."""
        return (sequence.base + 1 - sequence.request.prompt_tokens) % self._block_size
