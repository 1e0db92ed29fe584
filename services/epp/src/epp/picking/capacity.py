"""Numbers of the hardware: those that parameters say, beside those that are measured. Pure.

No parameter is changed by this: it shows an operator what a configured number should be.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Final, NamedTuple

from epp.config import SchedulerConfig
from epp.datalayer.builtin import Builtin
from epp.datalayer.member import Member
from epp.scheduling.gate import AffinityGate, ExpectedTTFTScorer
from epp.scheduling.saturation import ConcurrencyDetector

# First tokens of an endpoint until its measured speed is more than what was assumed.
SAMPLES: Final = 20


class _Measured(NamedTuple):
    """One endpoint. None where not enough was seen."""

    concurrency: float | None
    request_cost_ms: float | None
    block_tokens: float | None
    blocks: float | None


def describe(config: SchedulerConfig, known: Builtin, members: Sequence[Member], now: float) -> list[dict[str, object]]:
    """One row for each parameter in force that states the hardware: over the endpoints of a pool."""
    measured = [_measured(known, member.slot, now) for member in members]
    return [
        {"parameter": name, "configured": configured, "estimated": _spread(map(column, measured))}
        for name, configured, column in _parameters(config)
    ]


def _parameters(config: SchedulerConfig) -> Iterator[tuple[str, float, Callable[[_Measured], float | None]]]:
    prefix = config.prefix
    yield "approx-prefix-cache-producer.blockSizeTokens", prefix.block_size_tokens, lambda each: each.block_tokens
    yield "approx-prefix-cache-producer.lruCapacityPerServer", prefix.lru_capacity_per_server, lambda each: each.blocks
    for name, plugin in sorted(config.plugins.items()):
        match plugin:
            case AffinityGate(request_cost_ms=cost) | ExpectedTTFTScorer(request_cost_ms=cost):
                yield f"{name}.requestCostMs", cost, lambda each: each.request_cost_ms
            case ConcurrencyDetector(max_concurrency=most):
                yield f"{name}.maxConcurrency", most, lambda each: each.concurrency


def _measured(known: Builtin, slot: int, now: float) -> _Measured:
    load, speed, metrics = known.load.of(slot, now), known.prefill.of(slot).speed, known.engines.metrics(slot)
    has_capacity = metrics.block_count and metrics.block_size
    return _Measured(
        concurrency=load.slots or None,
        request_cost_ms=1000 * speed.gap_per_request if speed.samples >= SAMPLES else None,
        block_tokens=metrics.block_size,
        blocks=known.prefixes.index.capacity(slot) if has_capacity else None,
    )


def _spread(values: Iterator[float | None]) -> dict[str, float] | None:
    """Of the endpoints that are known; None where none is."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return {"least": round(min(found), 3), "median": round(median(found), 3), "most": round(max(found), 3)}
