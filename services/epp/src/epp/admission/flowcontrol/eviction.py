"""Which running requests end so that more important ones may start. Pure.

Only sheddable requests end: those of negative priority. The least important goes first, and of one priority the newest,
which has the least to lose. What was evicted frees its load at once in the ledger and a little later in the engine, so
few go at a time.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

# At a time; the next decision sees what these have freed.
VICTIMS_LIMIT: Final = 2


@dataclass(frozen=True, slots=True)
class Running:
    """A request in flight."""

    id: str
    priority: int
    started_at: float


def victims(running: Iterable[Running], priority: int, saturation: float, ceiling: float) -> Sequence[Running]:
    """Those to end for a request of `priority` that waits at `saturation` for less than `ceiling`."""
    present = list(running)
    sheddable = [each for each in present if each.priority < 0 and each.priority < priority]
    if not sheddable or saturation < ceiling or not math.isfinite(saturation):
        return ()
    share = saturation / len(present)
    wanted = math.floor((saturation - ceiling) / share) + 1
    sheddable.sort(key=lambda each: (each.priority, -each.started_at))
    return sheddable[: min(wanted, VICTIMS_LIMIT)]
