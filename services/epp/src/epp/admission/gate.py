"""The gate before placing: a request is admitted at once, refused, or waits. Pure.

    admit ──▶ ADMITTED            place it now
          ├─▶ Rejection           refuse it
          └─▶ WAITS ──▶ next()    later, when there is room: admitted or refused, each ticket once
                    └─▶ cancel    its client left

A gate sees endpoints only as candidates of the request at hand, through `look`, and only while it decides. The owner
calls `next` until it gives nothing, whenever room may have come, and places what is admitted before it calls again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from epp.config import SchedulerConfig
from epp.domain import PoolId, Ticket
from epp.flowcontrol.eviction import Running
from epp.scheduling.plugin import Trace
from epp.scheduling.view import SchedulingView
from gateway.wire.errors import Rejection


class Applicant(Protocol):
    """A request before the gate."""

    @property
    def ticket(self) -> Ticket:
        """Its number."""

    @property
    def pool(self) -> PoolId:
        """Where it goes."""

    @property
    def priority(self) -> int:
        """Higher is more important; below 0 it may be shed."""

    @property
    def fairness_id(self) -> str:
        """Whose requests it counts among."""

    @property
    def session(self) -> str:
        """Its conversation; empty where it has a fairness id, or nothing tells."""

    @property
    def model(self) -> str:
        """As the client named it."""

    @property
    def target_model(self) -> str:
        """As the model server knows it."""

    @property
    def body_bytes(self) -> int:
        """The size of its body."""

    @property
    def prompt_tokens(self) -> int:
        """An estimate of its prompt."""

    @property
    def ttft_objective(self) -> float | None:
        """Seconds within which the client wants the first token, if it says so."""

    @property
    def longest_wait(self) -> float | None:
        """Seconds that its proxy waits for the verdict, where that is known."""

    @property
    def trace(self) -> Trace:
        """Takes notes of plugins that fail."""

    def has_endpoints(self) -> bool:
        """Whether its pool has any endpoint now, be it a candidate or not."""

    def look(self, now: float) -> SchedulingView | None:
        """Its candidates at this moment; None where it has none."""


class Admission(Enum):
    """What becomes of a request that is not refused."""

    ADMITTED = auto()
    WAITS = auto()


@dataclass(frozen=True, slots=True)
class Released:
    """A request that waited: admitted, or refused with a reason."""

    ticket: Ticket
    rejection: Rejection | None = None


class Gate(Protocol):
    """See the module's docstring. All times are monotonic seconds."""

    def admit(self, applicant: Applicant, now: float) -> Admission | Rejection:
        """Judge a request that has just arrived. It may be kept until it has left the gate."""

    def cancel(self, ticket: Ticket, now: float) -> None:
        """A waiting request's client left. Unknown tickets are ignored."""

    def next(self, now: float) -> Released | None:
        """A waiting request whose turn it is; None while nothing changes."""

    def victims(self, in_flight: Callable[[PoolId], Sequence[Running]], now: float) -> Sequence[Running]:
        """Running requests that end now, so that one that waits may start. Asked when `next` gives nothing."""

    def answered(self, applicant: "Answered", tokens: int) -> None:
        """The answer to an admitted request had so many tokens."""

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Another configuration, from the next request on."""

    def describe(
        self, look: Callable[[PoolId, float], SchedulingView | None], now: float
    ) -> Sequence[Mapping[str, object]]:
        """What waits, for people and metrics; `look` gives all candidates of a pool."""


class Answered(Protocol):
    """A request that was placed."""

    @property
    def pool(self) -> PoolId:
        """Where it went."""

    @property
    def priority(self) -> int:
        """As it had when it was admitted."""

    @property
    def fairness_id(self) -> str:
        """Whose requests it counts among."""
