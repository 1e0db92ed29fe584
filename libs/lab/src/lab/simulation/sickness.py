"""Six ways in which one engine of a fleet is sick for a while, and none of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

CYCLE_SECONDS, ACTIVE_SECONDS = 10.0, 5.0
"""Of what comes and goes."""
DRIP_SECONDS = 0.5
"""Between two tokens of a server that drips: fifty times a healthy one's."""


@dataclass(frozen=True, slots=True)
class Sickness:
    """What engine 0 does between `begin` and `end`."""

    begin: float = inf
    end: float = inf
    speed: float = 1.0
    hangs: bool = False
    drips: bool = False
    status: int | None = None
    flag: str = ""
    comes_and_goes: bool = False

    def is_on(self, engine: int, now: float) -> bool:
        """Whether this engine is sick now."""
        if engine or not self.begin <= now < self.end:
            return False
        return not self.comes_and_goes or (now - self.begin) % CYCLE_SECONDS < ACTIVE_SECONDS


HEALTHY = Sickness()


def sicknesses(begin: float, end: float) -> Mapping[str, Sickness]:
    """The six by name."""
    return MappingProxyType({
        "hang": Sickness(begin, end, hangs=True),
        "slow drip": Sickness(begin, end, drips=True),
        "fast 500": Sickness(begin, end, status=500),
        "503 bursts": Sickness(begin, end, status=503, comes_and_goes=True),
        "half speed": Sickness(begin, end, speed=0.5),
        "flapping": Sickness(begin, end, status=503, flag="upstream_connection_failure", comes_and_goes=True),
    })  # fmt: skip
