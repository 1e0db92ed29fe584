"""The engine's input and output: plain values.

The answer of a request is known when it is submitted (its length, its finish reason, the block hashes of its tokens).
The engine only computes *when* each token appears, and the state of cache and adapter slots meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class FinishReason(StrEnum):
    """Why a request ended, in vLLM's words (label `finished_reason`)."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"
    REPETITION = "repetition"


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to generate. `block_hashes` cover the full blocks of prompt and answer; empty: nothing is cached."""

    id: str
    prompt_tokens: int
    output_tokens: int
    block_hashes: Sequence[int] = ()
    adapter: str | None = None
    finish_reason: FinishReason = FinishReason.LENGTH
    remote_prefill: bool = False
    """The KV cache of the prompt comes from another engine: transferred, not computed."""
    tokens: Sequence[int] = ()
    """Token ids of prompt and answer, needed only by a KV event listener."""
    max_tokens: int | None = None
    """The client's parameter, for the metric of that name."""
    n: int = 1
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """The life of a finished request, in the engine's seconds."""

    finish_reason: FinishReason
    arrival: float
    scheduled: float
    first_token: float
    finished: float
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    preemptions: int


class Output(NamedTuple):
    """`tokens` generated so far at `time`; the last one of a request carries its completion."""

    request_id: str
    time: float
    tokens: int
    cached_tokens: int
    completion: Completion | None


class NeverFitsError(ValueError):
    """The prompt needs more blocks than an empty cache has."""

    def __init__(self, needed: int, capacity: int) -> None:
        super().__init__(f"the prompt needs {needed} KV cache blocks, the cache has {capacity}")
        self.needed = needed
        self.capacity = capacity
