"""The load of one endpoint now, from its last scrape and what was picked and finished since. One pure function.

The rule, for an endpoint whose metrics are fresh:

    promoted = min(scraped waiting, finishes)          each finish lets one that waited run
    waiting  = scraped waiting − promoted + picks      a pick waits until a scrape says otherwise
    running  = scraped running − finishes + promoted
    kv usage = scraped usage + (tokens picked − tokens finished) / cache capacity, within 0..1

Nothing may be below what this picker and other replicas have in flight there: what is missing is added to `running`.
Where the metrics are stale or were never there, in-flight truth stands alone: both figures are the requests in flight,
and KV usage is none. `missing` says what that may be a long way from the truth; see there what it then counts as.
"""

from typing import Final, NamedTuple

from epp.datalayer.producers.missing import EVERYTHING
from epp.domain import EngineMetrics


class Since(NamedTuple):
    """What pickers did to an endpoint since the scrape that its metrics come from."""

    picks: int = 0
    finishes: int = 0
    picked_tokens: int = 0
    finished_tokens: int = 0


class Load(NamedTuple):
    """An estimate of now. `waiting` and `running` are requests, `kv_usage` is 0..1; `missing` are flags."""

    waiting: float
    running: float
    kv_usage: float
    missing: int = 0


NOTHING_KNOWN: Final = Load(0, 0, 0.0, EVERYTHING)


def load_now(metrics: EngineMetrics | None, since: Since, in_flight: int, *, is_fresh: bool, missing: int = 0) -> Load:
    """Combine a scrape with what happened since; see the module's text for the rule."""
    if metrics is None or not is_fresh:
        return NOTHING_KNOWN if not in_flight else Load(in_flight, in_flight, 0.0, EVERYTHING)
    # Comparisons rather than min and max: this runs with each placement and each settlement.
    waiting, running = metrics.waiting or 0, metrics.running or 0
    picks, finishes, picked_tokens, finished_tokens = since
    promoted = min(waiting, finishes)
    waiting += picks - promoted
    running += promoted - finishes
    if running < 0:
        running = 0
    unseen = in_flight - waiting - running
    if unseen > 0:
        running += unseen
    usage = metrics.kv_usage or 0.0
    if metrics.block_size and metrics.block_count:
        usage += (picked_tokens - finished_tokens) / (metrics.block_size * metrics.block_count)
        usage = 0.0 if usage < 0.0 else min(usage, 1.0)
    return Load(waiting, running, usage, missing)
