"""What a plugin sees: one request, the candidates, and one column of figures per signal. Pure.

A column is aligned with `endpoints`. Producers make columns; they are computed when a plugin reads them and never
changed. A filter's result is a narrower view. Nothing here leads to what producers keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from random import Random
from types import MappingProxyType
from typing import Any

from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column
from epp.datalayer.producers.missing import KV_USAGE, RUNNING, WAITING
from epp.domain import NO_LABELS, Endpoint, EngineMetrics, ServedModel
from epp.prompts.request import InferenceRequest

NO_COLUMNS: Mapping[str, Column] = MappingProxyType({})
_NOTHING = Placing(InferenceRequest(model=None, headers=NO_LABELS), (), None, 0.0, {})


@dataclass(slots=True)  # frozen it would take three times as long to make, several times for each decision
class SchedulingView:
    """The candidates of one decision. Nobody changes one."""

    endpoints: Sequence[Endpoint]  # with address and labels
    random: Random
    fallbacks: int = 0  # the next best to append to the choice, for the proxy's retries
    peer: Endpoint | None = None  # the other leg, where prefill and decode are split
    _slots: Sequence[int] = ()
    _columns: Mapping[str, Column] = field(default_factory=lambda: NO_COLUMNS)
    _placing: Placing = _NOTHING

    def __len__(self) -> int:
        return len(self.endpoints)

    @property
    def request(self) -> InferenceRequest:
        """What the client wants."""
        return self._placing.request

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._placing.now

    @property
    def block_count(self) -> int:
        """Blocks of this prompt."""
        return len(self._placing.blocks)

    def narrowed(self, keep: Sequence[bool]) -> "SchedulingView":
        """The view of those that a filter kept."""
        if all(keep):
            return self
        endpoints, slots = [*compress(self.endpoints, keep)], [*compress(self._slots, keep)]
        return SchedulingView(  # dataclasses.replace would take twice as long as the filter that asks for it
            endpoints, self.random, self.fallbacks, self.peer,
            slots, self._columns, self._placing,
        )  # fmt: skip

    def column(self, name: str) -> Sequence[Any]:
        """A producer's column; None for each candidate where nobody offers it."""
        column = self._columns.get(name)
        return [None] * len(self.endpoints) if column is None else column(self._placing, self._slots)

    def figure(self, name: str, position: int) -> Any:
        """One candidate's value of a column that exists."""
        return self._columns[name](self._placing, (self._slots[position],))[0]

    @property
    def waiting(self) -> Sequence[float]:
        """Requests that wait at the model server, estimated for now."""
        return self._columns["waiting"](self._placing, self._slots)

    @property
    def queued(self) -> Sequence[float]:
        """Requests known to queue: as `waiting`, but fresh picks count only where the scrape saw a queue already.

        Saturation reads this one: a burst that an idle endpoint takes at once is no queue.
        """
        return self._columns["queued"](self._placing, self._slots)

    @property
    def surplus(self) -> Sequence[float]:
        """Requests known to queue, and those beyond what the endpoint was ever seen to run at a time.

        Flow control reads this one: a burst must not go out before a scrape has shown that it is no queue.
        """
        return self._columns["surplus"](self._placing, self._slots)

    @property
    def unseen(self) -> Sequence[float]:
        """Those of the surplus that no scrape has shown."""
        return self._columns["unseen"](self._placing, self._slots)

    @property
    def running(self) -> Sequence[float]:
        """Requests that run, estimated for now."""
        return self._columns["running"](self._placing, self._slots)

    @property
    def total(self) -> Sequence[float]:
        """Requests there, waiting or running, estimated for now."""
        return self._columns["total"](self._placing, self._slots)

    @property
    def kv_usage(self) -> Sequence[float]:
        """Share of the KV cache in use, 0..1, estimated for now."""
        return self._columns["kv_usage"](self._placing, self._slots)

    @property
    def missing(self) -> Sequence[int]:
        """What is not known of each load, as flags of `epp.datalayer.producers.missing`: the worst figure counts."""
        return self._columns["missing"](self._placing, self._slots)

    @property
    def in_flight(self) -> Sequence[int]:
        """Requests that pickers sent there and that have not ended: this one, and others as far as they share it."""
        return self._columns["in_flight"](self._placing, self._slots)

    @property
    def in_flight_tokens(self) -> Sequence[int]:
        """Uncached prompt tokens of those requests, with the expected answer where that is counted, too."""
        return self._columns["in_flight_tokens"](self._placing, self._slots)

    @property
    def replicas(self) -> int:
        """Pickers that serve this pool now, with this one."""
        return int(self.figure("replicas", 0)) if self._slots else 1

    @property
    def matched_blocks(self) -> Sequence[int]:
        """Leading blocks of this prompt that the endpoint is believed to hold."""
        return self._columns["matched_blocks"](self._placing, self._slots)

    @property
    def match_ratio(self) -> Sequence[float]:
        """Matched share of the prompt's blocks, 0..1."""
        return self._columns["match_ratio"](self._placing, self._slots)

    @property
    def matched_tokens(self) -> Sequence[int]:
        """Prompt tokens the endpoint need not compute."""
        return self._columns["matched_tokens"](self._placing, self._slots)

    @property
    def backlog(self) -> Sequence[float]:
        """Seconds of prefill reserved there and not done yet, at measured speed."""
        return self._columns["backlog"](self._placing, self._slots)

    @property
    def seconds_per_token(self) -> Sequence[float]:
        """Measured prefill time per token."""
        return self._columns["seconds_per_token"](self._placing, self._slots)

    @property
    def decode_delay(self) -> Sequence[float]:
        """Seconds that each request there adds to decoding an answer of the usual length."""
        return self._columns["decode_delay"](self._placing, self._slots)

    @property
    def crowd(self) -> int:
        """Requests in flight, this one included, that share the longest match of this prompt."""
        size: int = self.figure("crowd", 0)
        return size

    @property
    def holders_missing(self) -> int:
        """Endpoints that the crowd needs beyond those that hold what it shares."""
        missing: int = self.figure("holders_missing", 0)
        return missing

    @property
    def takes_over(self) -> Sequence[bool]:
        """Whether the endpoint is new and should begin to hold the prefix of this request; at most one is."""
        return self._columns["takes_over"](self._placing, self._slots)

    @property
    def has_adapters(self) -> bool:
        """Whether any candidate reports anything of adapters."""
        return any(self._columns["has_adapters"](self._placing, self._slots))

    @property
    def active_adapters(self) -> Sequence[frozenset[str]]:
        """LoRA adapters loaded and in use."""
        return self._columns["active_adapters"](self._placing, self._slots)

    @property
    def waiting_adapters(self) -> Sequence[frozenset[str]]:
        """LoRA adapters that requests wait for."""
        return self._columns["waiting_adapters"](self._placing, self._slots)

    @property
    def max_adapters(self) -> Sequence[int]:
        """LoRA adapters that fit."""
        return self._columns["max_adapters"](self._placing, self._slots)

    @property
    def needs_adapter(self) -> bool:
        """Whether the target model is an adapter, as far as endpoints tell."""
        needs: bool = self.figure("needs_adapter", 0)
        return needs

    @property
    def adapter_loaded(self) -> Sequence[bool]:
        """Whether the request's adapter is believed loaded, in use or idle."""
        return self._columns["adapter_loaded"](self._placing, self._slots)

    @property
    def adapter_room(self) -> Sequence[bool]:
        """Whether it has a slot there or could be loaded at once."""
        return self._columns["adapter_room"](self._placing, self._slots)

    @property
    def adapter_home(self) -> Sequence[bool]:
        """Whether it belongs there: see `epp.datalayer.producers.adapters`."""
        return self._columns["adapter_home"](self._placing, self._slots)

    @property
    def models(self) -> Sequence[tuple[ServedModel, ...]]:
        """The models that each endpoint lists."""
        return self._columns["models"](self._placing, self._slots)

    @property
    def scraped(self) -> Sequence[EngineMetrics | None]:
        """The last scrape as it was; None before the first."""
        return self._columns["scraped"](self._placing, self._slots)

    @property
    def metrics_age(self) -> Sequence[float | None]:
        """Seconds since the last scrape; None without one."""
        now = self.now
        return [None if at is None else now - at for at in self._columns["scraped_at"](self._placing, self._slots)]

    def is_fresh(self, limit: float, intervals: float) -> Sequence[bool]:
        """Whether the last scrape is younger than a limit, or than some of the endpoint's present intervals."""
        spans = self._columns["scrape_interval"](self._placing, self._slots)
        return [
            age is not None and age <= max(limit, intervals * span)
            for age, span in zip(self.metrics_age, spans, strict=True)
        ]

    @property
    def last_cold_pick(self) -> Sequence[int]:
        """When the endpoint last took a request without any cached prefix, as a count; 0 is never."""
        return self._columns["last_cold_pick"](self._placing, self._slots)

    @property
    def session_bound(self) -> Sequence[bool]:
        """Whether the request's session is bound to the endpoint."""
        return self._columns["session_bound"](self._placing, self._slots)

    def attribute(self, name: str) -> Sequence[float | None]:
        """A figure by upstream's name, for plugins whose parameters name one; None where nobody offers it."""
        if name == "prefill-tokens-per-second":
            return [1 / seconds for seconds in self.seconds_per_token]
        if name == "active-adapters":
            return [None if each is None else float(len(each.active_adapters)) for each in self.scraped]
        column = self._columns.get(ATTRIBUTES.get(name, name))
        if column is None:
            return [None] * len(self)
        figures = [*map(_figure, column(self._placing, self._slots))]
        flag = FLAGS.get(name, 0)
        if not flag:
            return figures
        return [None if flag & gaps else value for value, gaps in zip(figures, self.missing, strict=True)]


def _figure(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


FLAGS: Mapping[str, int] = MappingProxyType(
    {"running-requests": RUNNING, "waiting-queue": WAITING, "kv-cache-utilization": KV_USAGE}
)

# Upstream's names of figures, with the columns that carry them; a producer's own column counts under its own name.
ATTRIBUTES: Mapping[str, str] = MappingProxyType({
    "active-requests": "in_flight",
    "in-flight-tokens": "in_flight_tokens",
    "running-requests": "running",
    "waiting-queue": "waiting",
    "kv-cache-utilization": "kv_usage",
    "prefill-tokens-per-second": "",
    "active-adapters": "",
})  # fmt: skip
