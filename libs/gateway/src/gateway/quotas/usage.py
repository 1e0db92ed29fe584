"""What an answer used, and what that counts for. Pure values."""

import math
from dataclasses import dataclass
from typing import NamedTuple


class Usage(NamedTuple):
    """Tokens of one answer. Cached ones are part of the prompt's, reasoning ones of the completion's."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    is_estimated: bool = False

    @property
    def total(self) -> int:
        return self.prompt + self.completion


class Reserved(NamedTuple):
    """What was taken of token quotas when a request was admitted, until its answer tells what it used. `rules` is the
    fingerprint of the rules of then: by others it cannot be given back."""

    prompt: int
    completion: int
    at: float
    rules: str


@dataclass(frozen=True, slots=True)
class Weights:
    """What one token of each kind counts. Each token is of one kind: a cached one is no `input`, too."""

    input: float = 1.0
    cached: float = 1.0
    output: float = 1.0
    reasoning: float = 1.0

    def count(self, usage: Usage) -> int:
        """What an answer counts, in whole tokens and never too little."""
        cached, reasoning = min(usage.cached, usage.prompt), min(usage.reasoning, usage.completion)
        weighed = (
            (usage.prompt - cached) * self.input
            + cached * self.cached
            + (usage.completion - reasoning) * self.output
            + reasoning * self.reasoning
        )
        return math.ceil(weighed - _ROUNDING)


_ROUNDING = 1e-6  # three tenths of ten tokens are three


PLAIN = Weights()
