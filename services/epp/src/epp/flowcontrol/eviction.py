"""Which running requests end so that more important ones may start. Pure.

Only sheddable requests end: those of negative priority. The least important goes first, and of one priority the newest,
which has the least to lose. What was evicted frees its load at once in the ledger and a little later in the engine, so
few go at a time, and some time passes between.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from epp.domain import PickId
from epp.flowcontrol.controller import Gated

# At a time; the next decision sees what these have freed.
VICTIMS_LIMIT: Final = 2
# Until engines and their metrics show what was freed: some scrapes of a busy endpoint.
PAUSE_SECONDS: Final = 0.25


class Running(NamedTuple):
    """A request in flight."""

    pick_id: PickId
    priority: int
    started_at: float
    can_end: bool  # its transport is able to cut its answer


def victims(running: Sequence[Running], gated: Gated) -> Sequence[Running]:
    """Those to end for the band that waits; `running` are all requests that make up the saturation."""
    sheddable = [each for each in running if each.can_end and each.priority < min(0, gated.priority)]
    if not sheddable or not math.isfinite(gated.saturation):
        return ()
    share = gated.saturation / len(running)
    wanted = math.floor((gated.saturation - gated.ceiling) / share) + 1 if share > 0 else 1
    sheddable.sort(key=lambda each: (each.priority, -each.started_at))
    return sheddable[: min(wanted, VICTIMS_LIMIT)]
