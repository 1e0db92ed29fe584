"""How long one engine step takes: the latency profile applied to the work of a step, times a seeded jitter.

Its state is the table of jitter factors, drawn once, and the speed; the engine calls it when it plans a step.
"""

from random import Random
from typing import NamedTuple

from model_sim.engine.profile import LatencyProfile

JITTER_TABLE_SIZE = 1021
"""Factors are drawn once and repeat with this period: a prime, so that it does not beat with block or batch sizes."""
JITTER_FLOOR = 0.5
"""No step takes less than half of what the profile says."""


class PromptWork(NamedTuple):
    """The prompt tokens that one step computes."""

    tokens: int = 0
    pairs: int = 0
    """Pairs of query and context tokens that attention covers."""
    load_seconds: float = 0.0
    """Time to load adapters."""


NO_PROMPTS = PromptWork()


class StepTimes:
    """Durations of steps by their number, in seconds."""

    __slots__ = ("_base", "_jitter", "_per_context_token", "_per_sequence", "_profile", "_stretch")

    def __init__(self, profile: LatencyProfile, random: Random) -> None:
        self._profile = profile
        self._jitter = _jitter_table(profile.jitter, random)
        self.set_speed(1.0)

    def set_speed(self, speed: float) -> None:
        """From the next step on be so many times as fast as the profile."""
        profile = self._profile
        self._stretch = stretch = 1.0 / speed
        self._base, self._per_sequence = profile.base * stretch, profile.per_decode_sequence * stretch
        self._per_context_token = profile.per_context_token * stretch

    def step(self, number: int, decoding: int, context: int, prompts: PromptWork) -> float:
        """Step `number`: so many sequences decode over so many context tokens, and prompts are computed."""
        profile = self._profile
        seconds = self._base + self._per_sequence * decoding
        if decoding:
            seconds += self._per_context_token * (context + decoding)
        if prompts.tokens:
            per_token, per_pair = profile.per_prefill_token, profile.per_prefill_pair
            seconds += (prompts.load_seconds + per_token * prompts.tokens + per_pair * prompts.pairs) * self._stretch
        jitter = self._jitter
        return seconds * jitter[number % JITTER_TABLE_SIZE] if jitter else seconds

    def decode_step(self, number: int, decoding: int, context: int) -> float:
        """The same for a step that only decodes, to the bit."""
        seconds = self._base + self._per_sequence * decoding + self._per_context_token * (context + decoding)
        jitter = self._jitter
        return seconds * jitter[number % JITTER_TABLE_SIZE] if jitter else seconds


def _jitter_table(deviation: float, random: Random) -> list[float]:
    if not deviation:
        return []
    return [max(JITTER_FLOOR, random.gauss(1.0, deviation)) for _ in range(JITTER_TABLE_SIZE)]
