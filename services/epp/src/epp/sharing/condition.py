"""Whether sharing works, in one direction: a line in the log and a metric for each change, and how long to pause.

That Redis answers a greeting says nothing: it may be full, read-only, or hold something else under a key. So what
counts is whether the work was done, for each pool.
"""

from typing import Final, Protocol

from epp.domain import PoolId
from gateway.service import backoff, logs

log = logs.get(__name__)

# The longer one is how late a replica may be in going on once it can: everybody should know everything a second later.
PAUSE_SECONDS: Final = (0.05, 0.5)


class ConditionMetrics(Protocol):
    """What an operator sees."""

    def sharing(self, direction: str, *, works: bool) -> None:
        """One direction works from now on, or no longer."""


class Condition:
    """One direction, over all pools: it works while it works for each."""

    def __init__(self, direction: str, metrics: ConditionMetrics) -> None:
        self._direction = direction
        self._metrics = metrics
        self._failures: dict[PoolId, int] = {}  # in a row, of those that fail now

    def worked(self, pool: PoolId) -> None:
        """What it is for was done."""
        if self._failures.pop(pool, 0) and not self._failures:
            log.info("sharing again", direction=self._direction)
            self._metrics.sharing(self._direction, works=True)

    def failed(self, pool: PoolId, reason: str) -> float:
        """It was not; the seconds until the next try."""
        if not self._failures:
            log.warning(
                "sharing fails; picking goes on without it", direction=self._direction, pool=pool, reason=reason
            )
            self._metrics.sharing(self._direction, works=False)
        failures = self._failures[pool] = self._failures.get(pool, 0) + 1
        return backoff.pause(failures, *PAUSE_SECONDS)

    def forget(self, pool: PoolId) -> None:
        """The pool is gone."""
        self.worked(pool)
