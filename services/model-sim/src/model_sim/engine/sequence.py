"""A request inside the engine: its place in the order, its progress, and its blocks. One owner: the scheduler."""

from enum import IntEnum

from model_sim.engine.request import Completion, FinishReason, Request

NEVER = 1 << 62
"""A step number that is never reached."""


class State(IntEnum):
    """Where a sequence is in its life."""

    WAITING = 0
    TRANSFERRING = 1
    PREFILLING = 2
    DECODING = 3
    DONE = 4


class Sequence:
    """A request inside the engine."""

    __slots__ = (
        "arrival",
        "base",
        "cached_tokens",
        "computed",
        "finish_reason",
        "first_token",
        "generated",
        "last_token",
        "order",
        "output_tokens",
        "preemptions",
        "request",
        "scheduled",
        "settled",
        "settles_at",
        "shared",
        "state",
        "target",
    )

    def __init__(self, request: Request, order: int, arrival: float) -> None:
        self.request = request
        self.order = order
        self.arrival = arrival
        self.state = State.WAITING
        self.base = 0
        self.generated = 0
        self.computed = 0
        self.target = request.prompt_tokens
        self.output_tokens = request.output_tokens
        self.finish_reason = request.finish_reason
        self.shared: list[int] = []
        self.settled = 0
        self.settles_at = NEVER
        self.cached_tokens = 0
        self.preemptions = 0
        self.scheduled = -1.0
        self.first_token = -1.0
        self.last_token = -1.0

    def completion(self, reason: FinishReason, end: float) -> Completion:
        """The life of this sequence, now that it is over."""
        return Completion(
            finish_reason=reason,
            arrival=self.arrival,
            scheduled=self.scheduled,
            first_token=self.first_token,
            finished=end,
            prompt_tokens=self.request.prompt_tokens,
            output_tokens=self.generated,
            cached_tokens=self.cached_tokens,
            preemptions=self.preemptions,
        )
