"""How full a pool is, and who is refused because of it. Pure.

Detectors are filters, too: they keep the endpoints that have room.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import and_
from typing import Literal

from epp.datalayer.producers.load import STALE_AFTER_INTERVALS
from epp.datalayer.producers.missing import KV_USAGE, WAITING
from epp.scheduling.filters import or_all
from epp.scheduling.plugin import parameter
from epp.scheduling.units import Seconds
from epp.scheduling.view import SchedulingView

NO_ROOM = 1.0
# Requests in flight for which an endpoint has room whose queue and cache are not known: as of `concurrency-detector`.
UNREPORTED_CONCURRENCY = 100


def _is_known(view: SchedulingView) -> Sequence[bool]:
    """Whether queue or cache of an endpoint is known."""
    both = WAITING | KV_USAGE
    return [missing & both != both for missing in view.missing]


def _unreported_fill(view: SchedulingView) -> Sequence[float]:
    """How full an endpoint is by what is in flight there: an engine that reports neither queue nor cache is neither the
    emptiest nor full for ever."""
    most = UNREPORTED_CONCURRENCY
    return [count / most for count in view.in_flight]


def _warning(headroom: float) -> str | None:
    return f"headroom {headroom:g} keeps endpoints at {1 + headroom:g} times their limit" if headroom > 1 else None


@dataclass(frozen=True, slots=True)
class UtilizationDetector:
    """Measures saturation by queues and KV caches; as a filter keeps endpoints with room, or all where none has."""

    queue_depth_threshold: int = parameter(5, "a queue this long is full", unit="requests", above=0)
    kv_cache_util_threshold: float = parameter(
        0.8, "a KV cache this full is full", above=0, maximum=1, key="kvCacheUtilThreshold"
    )
    metrics_staleness_threshold: Seconds = parameter(
        Seconds(0.2), "older metrics count as full; never less than 3 scrape intervals of the endpoint", unit="seconds",
        above=0,
    )  # fmt: skip
    headroom: float = parameter(0.0, "as a filter, how far above the thresholds an endpoint is kept", minimum=0)
    prefill_backlog_threshold: Seconds | None = parameter(
        None, "prefill reserved there, at measured speed, that counts as full; not upstream's, off without a value"
    )
    counts_unseen: bool = False  # set with flow control: what no scrape has shown to run counts as queued

    def warning(self) -> str | None:
        """Upstream's word of caution."""
        return _warning(self.headroom)

    def saturation(self, view: SchedulingView) -> float:
        """Mean over the endpoints of the fuller of queue and cache; 1 where they are stale."""
        if not len(view):
            return NO_ROOM
        fill = self._fill(view)
        if any(view.missing):
            fill = self._with_unreported(view, fill)
        return sum(fill) / len(view)

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those below both thresholds with fresh metrics; all where none is."""
        queues = self.queue_depth_threshold * (1 + self.headroom)
        caches = self.kv_cache_util_threshold * (1 + self.headroom)
        fresh = self._fresh(view)
        return or_all([
            is_fresh and waiting < queues and usage < caches
            for is_fresh, waiting, usage in zip(fresh, view.queued, view.kv_usage, strict=True)
        ])  # fmt: skip

    def _fresh(self, view: SchedulingView) -> Sequence[bool]:
        fresh = view.is_fresh(self.metrics_staleness_threshold, STALE_AFTER_INTERVALS)
        return [*map(and_, fresh, _is_known(view))]

    def _fill(self, view: SchedulingView) -> Sequence[float]:
        if self.counts_unseen:
            return self._fill_with_unseen(view)
        fresh, most, fullest = self._fresh(view), self.queue_depth_threshold, self.kv_cache_util_threshold
        return [
            max(waiting / most, usage / fullest, backlog) if is_fresh else NO_ROOM
            for is_fresh, waiting, usage, backlog in zip(
                fresh, view.queued, view.kv_usage, self._backlogs(view), strict=True
            )
        ]

    def _fill_with_unseen(self, view: SchedulingView) -> Sequence[float]:
        """An endpoint is full at most, however long its queue: the others still have room. What no scrape has shown
        comes on top, so that no more goes out between two scrapes than there is room for."""
        fresh, most, fullest = self._fresh(view), self.queue_depth_threshold, self.kv_cache_util_threshold
        return [
            min(NO_ROOM, max((surplus - unseen) / most, usage / fullest, backlog)) + unseen / most
            if is_fresh
            else NO_ROOM
            for is_fresh, surplus, unseen, usage, backlog in zip(
                fresh, view.surplus, view.unseen, view.kv_usage, self._backlogs(view), strict=True
            )
        ]

    def _with_unreported(self, view: SchedulingView, fill: Sequence[float]) -> Sequence[float]:
        """An endpoint that reports nothing is as full as the others are, and by its requests in flight at least."""
        fresh = view.is_fresh(self.metrics_staleness_threshold, STALE_AFTER_INTERVALS)
        is_known = _is_known(view)
        reported = [each for each, counts in zip(fill, map(and_, fresh, is_known), strict=True) if counts]
        least = sum(reported) / len(reported) if reported else 0.0
        judged = zip(fresh, is_known, fill, _unreported_fill(view), strict=True)
        return [max(least, ours) if answers and not knows else each for answers, knows, each, ours in judged]

    def _backlogs(self, view: SchedulingView) -> Sequence[float]:
        threshold = self.prefill_backlog_threshold
        return [backlog / threshold for backlog in view.backlog] if threshold else [0.0] * len(view)


@dataclass(frozen=True, slots=True)
class ConcurrencyDetector:
    """Measures saturation by what is in flight; as a filter keeps endpoints with room, even none."""

    concurrency_mode: Literal["requests", "tokens", "hybrid"] = parameter(
        "requests", "what is counted", choices=("requests", "tokens", "hybrid")
    )
    max_concurrency: int = parameter(100, "requests in flight an endpoint has room for", unit="requests", above=0)
    max_token_concurrency: int = parameter(
        1_000_000, "tokens in flight an endpoint has room for", unit="tokens", above=0
    )
    headroom: float = parameter(0.0, "as a filter, how far above the limit an endpoint is kept", minimum=0)
    in_flight_load_producer_name: str = parameter(
        "inflight-load-producer", "which producer counts what is in flight", reference="load producer"
    )

    def warning(self) -> str | None:
        """Upstream's word of caution."""
        return _warning(self.headroom)

    def saturation(self, view: SchedulingView) -> float:
        """What is in flight over all there is room for; in hybrid mode the mean of each endpoint's fuller side."""
        if not len(view):
            return NO_ROOM
        return sum(self._fill(view)) / len(view)

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        """Those with room."""
        return [fill < 1 + self.headroom for fill in self._fill(view)]

    def _fill(self, view: SchedulingView) -> Sequence[float]:
        match self.concurrency_mode:
            case "requests":
                return self._by_requests(view)
            case "tokens":
                return self._by_tokens(view)
            case "hybrid":
                return [*map(max, self._by_requests(view), self._by_tokens(view))]

    def _by_requests(self, view: SchedulingView) -> list[float]:
        most = self.max_concurrency
        return [count / most for count in view.in_flight]

    def _by_tokens(self, view: SchedulingView) -> list[float]:
        most = self.max_token_concurrency
        return [tokens / most for tokens in view.in_flight_tokens]


@dataclass(frozen=True, slots=True)
class ProbabilisticAdmitter:
    """Refuses sheddable requests with a chance that grows steeply as the pool fills."""

    queue_depth_threshold: int = parameter(5, "a queue this long is full", unit="requests", above=0)
    kv_cache_util_threshold: float = parameter(
        0.8, "a KV cache this full is full", above=0, maximum=1, key="kvCacheUtilThreshold"
    )
    power: float = parameter(5.0, "how steeply the chance grows", above=0)
    k: float = parameter(300.0, "the chance is k × saturation^power, at most 1", above=0)

    def admits(self, view: SchedulingView) -> bool:
        """Always with priority 0 and above."""
        if view.request.priority >= 0:
            return True
        fill = [
            max(waiting / self.queue_depth_threshold, usage / self.kv_cache_util_threshold) if is_known else NO_ROOM
            for is_known, waiting, usage in zip(_is_known(view), view.queued, view.kv_usage, strict=True)
        ]  # fmt: skip
        mean = sum(fill) / len(fill) if fill else NO_ROOM
        return view.random.random() >= self._chance(mean)

    def _chance(self, saturation: float) -> float:
        """k × saturation^power, at most 1; by logarithms, since the power itself may be too large for a number."""
        if saturation <= 0:
            return 0.0
        return math.exp(min(0.0, math.log(self.k) + self.power * math.log(saturation)))
