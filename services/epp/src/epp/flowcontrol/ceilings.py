"""How full a pool may be for each band: usage limit policies. Pure.

A band is gated while the pool's saturation has reached its ceiling. Ceilings never rise from a more important band to a
less important one, so a gated band gates all below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from epp.scheduling.plugin import parameter


class Ceilings(Protocol):
    """A usage limit policy."""

    def ceilings(self, priorities: Sequence[int]) -> Sequence[float]:
        """One ceiling for each band, given their priorities from the most important on."""


@dataclass(frozen=True, slots=True)
class StaticUsageLimit:
    """Gates every band at the same saturation."""

    threshold: float = parameter(1.0, "the saturation at which bands are gated", above=0)

    def ceilings(self, priorities: Sequence[int]) -> Sequence[float]:
        """The same for all."""
        return [self.threshold] * len(priorities)


@dataclass(frozen=True, slots=True)
class PriorityHoldback:
    """Holds capacity back for more important bands: ceilings fall from the most important band to the least."""

    min_ceiling: float = parameter(1.0, "the ceiling of the least important band", above=0)
    max_ceiling: float = parameter(1.0, "the ceiling of the most important band", above=0)
    domain: Literal["rank", "value"] = parameter(
        "rank", "ceilings fall evenly from band to band, or in proportion to priorities", choices=("rank", "value")
    )
    shape: Literal["linear"] = parameter("linear", "the only shape", choices=("linear",))

    def problem(self) -> str | None:
        """What makes the parameters useless together."""
        return "minCeiling is above maxCeiling" if self.min_ceiling > self.max_ceiling else None

    def ceilings(self, priorities: Sequence[int]) -> Sequence[float]:
        """By rank or by value; a lone band has the highest ceiling."""
        if len(priorities) < 2:
            return [self.max_ceiling] * len(priorities)
        span = self.max_ceiling - self.min_ceiling
        last = len(priorities) - 1
        if self.domain == "rank":
            return [self.max_ceiling - rank * span / last for rank in range(len(priorities))]
        lowest, width = priorities[-1], priorities[0] - priorities[-1]
        return [self.min_ceiling + (priority - lowest) / width * span for priority in priorities]
