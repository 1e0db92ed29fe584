"""A trace as the lab has it, whatever its file's format. Pure values."""

from dataclasses import dataclass
from pathlib import Path

TOKENS_LIMIT = 10_000_000
"""Of one prompt or answer; ten times the longest context there is."""


class TraceError(ValueError):
    """A trace that cannot be read: one line with the place."""

    def __init__(self, file: Path, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}")


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One request. Equal `blocks`, from the first on, are equal beginnings of prompts; they may cover less than the
    whole prompt, or its last block in part. `at` and `duration` are seconds; what a trace does not know is None."""

    at: float
    prompt_tokens: int
    output_tokens: int | None
    blocks: tuple[int, ...] = ()
    block_tokens: int = 512
    session: str | None = None
    duration: float | None = None
    pool: str | None = None
    cached_share: float | None = None  # of the prompt, as its server counted
    first_token: float | None = None  # seconds to it, as it was
    adapter: str | None = None  # None: the base model's


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order of their times, the first at 0. Without times of its own it has only an order."""

    format: str
    requests: tuple[TracedRequest, ...]
    has_times: bool = True
    is_cut: bool = False  # the file goes on

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        return self.requests[-1].at
