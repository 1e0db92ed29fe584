"""What the access log has of the two halves, as figures. Pure.

Both halves are measured by Envoy at the same place, so that they can be set side by side.
"""

import json
from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import ceil, sqrt
from statistics import fmean, variance
from typing import Any, Final

from gateway.wire import protocol

MAX_TIMES: Final = 100_000  # of one half, in memory; the latest count
_FEWEST: Final = 30  # answers of each half from which on a mean has an interval
_WIDTH: Final = 1.96  # standard errors of a 95 % interval
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Served:
    """One request that has ended. `started` is in UTC, in a form that sorts by time; `ttft_ms` is None without a first
    byte, tokens are None where no usage was read."""

    started: str
    route: str
    cluster: str
    endpoint: str | None
    status: int
    ttft_ms: float | None
    prompt_tokens: float | None
    cached_tokens: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one half. Times in milliseconds; None where nothing is known. `busiest`: requests of the busiest server, as a
    multiple of the mean."""

    requests: int
    errors: int
    ttft_p50: float | None
    ttft_p90: float | None
    ttft_p99: float | None
    hit_ratio: float | None
    busiest: float | None
    servers: Mapping[str, int]


@dataclass(slots=True)
class Half:
    """The requests of one half so far. One writer."""

    requests: int = 0
    errors: int = 0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_TIMES))
    servers: Counter[str] = field(default_factory=Counter)

    def add(self, served: Served) -> None:
        """One more; what failed has no time."""
        self.requests += 1
        if served.endpoint is not None:
            self.servers[served.endpoint] += 1
        if served.status not in _SUCCESS:
            self.errors += 1
            return
        if served.ttft_ms is not None:
            self.times.append(served.ttft_ms)
        if served.prompt_tokens is not None and served.cached_tokens is not None:
            self.prompt_tokens += served.prompt_tokens
            self.cached_tokens += served.cached_tokens

    def figures(self, servers: Collection[str]) -> Figures:
        """As they are now, over all these servers."""
        ordered = sorted(self.times)
        return Figures(
            requests=self.requests,
            errors=self.errors,
            ttft_p50=_quantile(ordered, 0.5),
            ttft_p90=_quantile(ordered, 0.9),
            ttft_p99=_quantile(ordered, 0.99),
            hit_ratio=self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None,
            busiest=max(self.servers.values()) * len(servers) / self.servers.total() if self.servers else None,
            servers={server: self.servers[server] for server in sorted(servers)},
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both halves, and by how much the picker's mean time to a first token is shorter, with its 95 % interval: None
    until both have answers enough."""

    round_robin: Figures
    picker: Figures
    gain_ms: tuple[float, float] | None


def compared(round_robin: Half, picker: Half) -> Comparison:
    """The figures of both."""
    servers = round_robin.servers.keys() | picker.servers.keys()
    return Comparison(round_robin.figures(servers), picker.figures(servers), _gain(round_robin.times, picker.times))


def served(line: str) -> Served | None:
    """One line of Envoy's log; None for what is none."""
    try:
        found: Mapping[str, Any] = json.loads(line)
        usage = found.get("usage") or {}
        return Served(
            started=found["start_time"],
            route=found["route"] or "",
            cluster=found["upstream_cluster"] or "",
            endpoint=found.get("upstream"),
            status=int(found["status"] or 0),
            ttft_ms=_number(found["ttft_ms"]),
            prompt_tokens=_number(usage.get(protocol.PROMPT_TOKENS)),
            cached_tokens=_number(usage.get(protocol.CACHED_TOKENS)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _quantile(ordered: list[float], part: float) -> float | None:
    """The nearest rank."""
    return ordered[ceil(part * len(ordered)) - 1] if ordered else None


def _gain(before: Collection[float], after: Collection[float]) -> tuple[float, float] | None:
    if min(len(before), len(after)) < _FEWEST:
        return None
    error = sqrt(variance(before) / len(before) + variance(after) / len(after))
    return fmean(before) - fmean(after), _WIDTH * error
