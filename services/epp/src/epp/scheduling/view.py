"""What a plugin sees: one request, the candidates, and one column of figures per signal. Pure.

A column is aligned with `endpoints`. Columns are computed when asked for and never changed; a filter's result is a
narrower view. New signals are new columns here, not entries of a bag.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from random import Random
from types import MappingProxyType

from epp.datalayer.endpoint import EndpointState
from epp.domain import Endpoint, EndpointId, EngineMetrics
from epp.prompts.parsing import InferenceRequest

_HAS_ADAPTERS = attrgetter("has_adapters")
NO_MATCHES: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SchedulingView:
    """The candidates of one decision. `states` is for the package itself; plugins read the columns."""

    request: InferenceRequest
    states: Sequence[EndpointState]
    now: float
    random: Random
    matches: Mapping[int, int] = field(default_factory=lambda: NO_MATCHES)  # slot → matched blocks
    block_count: int = 0  # blocks of this prompt
    block_tokens: int = 0
    bound: EndpointId | None = None  # by its session
    fallbacks: int = 0  # the next best to append to the choice, for the proxy's retries
    peer: Endpoint | None = None  # the other leg, where prefill and decode are split

    def __len__(self) -> int:
        return len(self.states)

    def narrowed(self, keep: Sequence[bool]) -> "SchedulingView":
        """The view of those that a filter kept."""
        if all(keep):
            return self
        states = [state for state, kept in zip(self.states, keep, strict=True) if kept]
        return SchedulingView(  # dataclasses.replace would take twice as long as the filter that asks for it
            self.request, states, self.now, self.random, self.matches, self.block_count, self.block_tokens, self.bound,
            self.fallbacks, self.peer,
        )  # fmt: skip

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The candidates, with address and labels."""
        return [state.endpoint for state in self.states]

    @property
    def waiting(self) -> Sequence[float]:
        """Requests that wait at the model server, estimated for now."""
        return [state.load.waiting for state in self.states]

    @property
    def queued(self) -> Sequence[float]:
        """Requests known to queue: as `waiting`, but fresh picks count only where the scrape saw a queue already.

        Saturation reads this one: a burst that an idle endpoint takes at once is no queue.
        """
        return [state.load.waiting if state.metrics is None or state.metrics.waiting else 0.0 for state in self.states]

    @property
    def running(self) -> Sequence[float]:
        """Requests that run, estimated for now."""
        return [state.load.running for state in self.states]

    @property
    def total(self) -> Sequence[float]:
        """Requests there, waiting or running, estimated for now."""
        return [state.total for state in self.states]

    @property
    def kv_usage(self) -> Sequence[float]:
        """Share of the KV cache in use, 0..1, estimated for now."""
        return [state.load.kv_usage for state in self.states]

    @property
    def in_flight(self) -> Sequence[int]:
        """Requests this picker sent there that have not ended."""
        return [state.in_flight for state in self.states]

    @property
    def in_flight_tokens(self) -> Sequence[int]:
        """Uncached prompt tokens of those requests, with the expected answer where that is counted, too."""
        return [state.in_flight_tokens for state in self.states]

    @property
    def matched_blocks(self) -> Sequence[int]:
        """Leading blocks of this prompt that the endpoint is believed to hold."""
        get = self.matches.get
        return [get(state.slot, 0) for state in self.states] if self.matches else [0] * len(self.states)

    @property
    def match_ratio(self) -> Sequence[float]:
        """Matched share of the prompt's blocks, 0..1."""
        if not self.matches or not self.block_count:
            return [0.0] * len(self.states)
        get, total = self.matches.get, self.block_count
        return [get(state.slot, 0) / total for state in self.states]

    @property
    def matched_tokens(self) -> Sequence[int]:
        """Prompt tokens the endpoint need not compute."""
        get, size = self.matches.get, self.block_tokens
        return [get(state.slot, 0) * size for state in self.states] if self.matches else [0] * len(self.states)

    @property
    def backlog(self) -> Sequence[float]:
        """Seconds of prefill reserved there and not done yet, at measured speed."""
        now = self.now
        return [state.free_at - now if state.free_at > now else 0.0 for state in self.states]

    @property
    def seconds_per_token(self) -> Sequence[float]:
        """Measured prefill time per token."""
        return [state.speed.seconds_per_token for state in self.states]

    @property
    def has_adapters(self) -> bool:
        """Whether any candidate tells anything of adapters."""
        return any(map(_HAS_ADAPTERS, self.states))

    @property
    def active_adapters(self) -> Sequence[frozenset[str]]:
        """LoRA adapters loaded and in use."""
        return [state.metrics.active_adapters if state.metrics else frozenset() for state in self.states]

    @property
    def waiting_adapters(self) -> Sequence[frozenset[str]]:
        """LoRA adapters that requests wait for."""
        return [state.metrics.waiting_adapters if state.metrics else frozenset() for state in self.states]

    @property
    def max_adapters(self) -> Sequence[int]:
        """LoRA adapters that fit."""
        return [state.metrics.max_adapters if state.metrics else 0 for state in self.states]

    @property
    def scraped(self) -> Sequence[EngineMetrics | None]:
        """The last scrape as it was; None before the first."""
        return [state.metrics for state in self.states]

    def is_fresh(self, limit: float, intervals: float) -> Sequence[bool]:
        """Whether the last scrape is younger than a limit, or than some of the endpoint's present intervals."""
        now = self.now
        return [
            state.observed_at is not None and now - state.observed_at <= max(limit, intervals * state.interval)
            for state in self.states
        ]

    @property
    def metrics_age(self) -> Sequence[float | None]:
        """Seconds since the last scrape; None without one."""
        now = self.now
        return [None if state.observed_at is None else now - state.observed_at for state in self.states]

    @property
    def last_cold_pick(self) -> Sequence[int]:
        """When the endpoint last took a request without any cached prefix, as a count; 0 is never."""
        return [state.last_cold for state in self.states]

    def attribute(self, name: str) -> Sequence[float | None]:
        """A column by name, for plugins that are told which; None where the endpoint does not know it."""
        column = ATTRIBUTES.get(name)
        return [None if column is None else column(state) for state in self.states]


def _active_adapters(state: EndpointState) -> float | None:
    return None if state.metrics is None else float(len(state.metrics.active_adapters))


ATTRIBUTES: Mapping[str, Callable[[EndpointState], float | None]] = MappingProxyType({
    "active-requests": lambda state: float(state.in_flight),
    "in-flight-tokens": lambda state: float(state.in_flight_tokens),
    "running-requests": lambda state: float(state.load.running),
    "waiting-queue": lambda state: float(state.load.waiting),
    "kv-cache-utilization": lambda state: float(state.load.kv_usage),
    "prefill-tokens-per-second": lambda state: 1 / state.speed.seconds_per_token,
    "active-adapters": _active_adapters,
})  # fmt: skip
