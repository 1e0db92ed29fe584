"""What replicas scrape for each other: who does it, what goes out, and what comes in. A shell's state; no I/O.

An endpoint's own word counts whoever heard it. That one replica cannot reach an endpoint is its own affair, and every
other looks for itself; while another reaches it, the endpoint takes part, and this is shown and logged.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from epp.domain import (
    EndpointId,
    EngineMetrics,
    ModelsShared,
    PoolId,
    RunId,
    ScrapeFault,
    ScrapeTaken,
    ServedModel,
    SharedEvent,
)
from epp.scraping.schedule.division import REACHED_SECONDS, scraper_of, until_due
from epp.scraping.schedule.target import ScrapeTarget
from gateway.service import logs

log = logs.get(__name__)

# A list that did not change is published again so often: others may have missed it.
MODELS_SECONDS: Final = 30.0
# A longer list is each replica's own.
MODELS_LIMIT_BYTES: Final = 128 * 1024

NO_RUN: Final = RunId("")
Found = EngineMetrics | ScrapeFault


@dataclass(frozen=True, slots=True)
class Fleet:
    """This replica among others: `live` gives the runs of others that live, `show` takes who scrapes an endpoint, as
    people read it."""

    run: RunId = NO_RUN
    live: Callable[[PoolId, float], Collection[RunId]] = lambda _pool, _now: ()
    publish: Callable[[Sequence[SharedEvent]], None] = lambda _events: None
    show: Callable[[PoolId, EndpointId, str], None] = lambda _pool, _endpoint, _by: None


class SharedScrapes:
    """See the module's docstring."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._live: dict[PoolId, frozenset[RunId]] = {}

    def has_changed(self, pool: PoolId, now: float) -> bool:
        """Whether other replicas of a pool came or went since the last time."""
        live = frozenset(self._fleet.live(pool, now))
        before = self._live.get(pool, frozenset())
        self._live[pool] = live
        return live != before

    def forget(self, pools: Collection[PoolId]) -> None:
        """Only these are there."""
        for pool in self._live.keys() - set(pools):
            del self._live[pool]

    def until_due(self, target: ScrapeTarget, interval: float, now: float) -> float:
        """Seconds until it is scraped here."""
        is_own = scraper_of(target, self._fleet.run, self._live.get(target.pool, ())) == self._fleet.run
        return until_due(target, interval, now, is_own=is_own)

    def scraped(self, target: ScrapeTarget, found: Found, now: float) -> bool:
        """A scrape here ended; whether it counts, or another replica knows better."""
        fleet, endpoint = self._fleet, target.endpoint.id
        target.checked_at, target.is_doubtful = now, False
        is_unreached = _is_unreached(found)
        if is_unreached:
            target.unable.add(fleet.run)
        else:
            target.unable.discard(fleet.run)
        if self._live.get(target.pool):
            fleet.publish((ScrapeTaken(target.pool, endpoint, fleet.run, found),))
        is_reached = is_unreached and now - target.taken_at < REACHED_SECONDS
        if is_reached and not target.is_unreached_here:
            log.warning(
                "endpoint cannot be scraped here, another replica can",
                pool=target.pool, endpoint=endpoint, by=target.taken_by,
            )  # fmt: skip
        target.is_unreached_here = is_reached
        fleet.show(target.pool, endpoint, f"by {target.taken_by}, not from here" if is_reached else "here")
        return not is_reached

    def taken(self, target: ScrapeTarget, event: ScrapeTaken, now: float) -> Found | None:
        """Another replica's scrape; what counts of it here."""
        if _is_unreached(event.found):
            target.is_doubtful |= event.run not in target.unable
            target.unable.add(event.run)
            target.unable &= {self._fleet.run, event.run, *self._live.get(target.pool, ())}
            return None
        target.unable.discard(event.run)
        target.taken_at, target.taken_by = now, event.run
        where = ", not from here" if target.fault is not None else ""
        self._fleet.show(target.pool, event.endpoint, f"by {event.run}{where}")
        return event.found

    def listed(self, target: ScrapeTarget, models: tuple[ServedModel, ...] | None, now: float) -> None:
        """The models listed here; None where the list is the last one."""
        if models is not None:
            target.models = models if len(target.models_seen) <= MODELS_LIMIT_BYTES else ()
        elif now - target.models_shared_at < MODELS_SECONDS:
            return
        if target.models and self._live.get(target.pool):
            target.models_shared_at = now
            self._fleet.publish((ModelsShared(target.pool, target.endpoint.id, target.models),))


def _is_unreached(found: Found) -> bool:
    """That it is not ready is the endpoint's own word, which counts like metrics."""
    return isinstance(found, ScrapeFault) and found is not ScrapeFault.NOT_READY
