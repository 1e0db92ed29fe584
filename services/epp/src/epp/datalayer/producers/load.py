"""The load of each endpoint now: what is in flight there, and the last scrape brought up to date by it. Pure.

Figures change with each event, never when they are read, so that a decision over a thousand endpoints only reads.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from epp.datalayer.aligned import Aligned
from epp.datalayer.events import EndpointJoined, EndpointLeft, RequestPlaced, RequestSettled, Scraped
from epp.datalayer.member import Member
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.estimate import Load, Since, load_now
from epp.datalayer.producers.missing import (
    EVERYTHING,
    KV_USAGE,
    RUNNING,
    WAITING,
    missing_in,
    worst_for_missing,
)
from epp.domain import EngineMetrics

# A request picked this shortly before a scrape was answered may not have shown in it: engines publish once per step.
SETTLING_SECONDS: Final = 0.02
# Metrics older than this are stale, or older than three of the endpoint's present scrape intervals if that is longer:
# one late scrape must not turn an estimate into a guess.
STALE_AFTER_SECONDS: Final = 2.0
STALE_AFTER_INTERVALS: Final = 3.0
# Scrape intervals. Upstream's 50 ms while metrics show something that the ledger does not know.
BUSY_INTERVAL: Final = 0.05
# The scrape agreed with what is in flight and nothing waits: the ledger knows the load as well as the metrics do.
KNOWN_INTERVAL: Final = 0.25
IDLE_INTERVAL: Final = 1.0
# An endpoint counts as idle a little longer each time: the interval is the idle time over this, within the bounds.
_IDLE_SLOWDOWN: Final = 10.0
# Events between two scrapes. More than this on one endpoint within a scrape interval is beyond any engine.
_EVENTS_LIMIT: Final = 4096
NOTE: Final = "load"  # requests and tokens in flight at the primary before the placement
NOTHING_SINCE: Final = Since()
_WAITING, _RUNNING, _KV_USAGE, _TOTAL, _UNKNOWN = map(
    attrgetter, ("waiting", "running", "kv_usage", "total", "unknown")
)
# Of which figures a sum is that takes several.
TOTAL: Final = WAITING | RUNNING


class _Event(NamedTuple):
    """A placement (then `placed_at` is `at`), or the end of one."""

    at: float
    placed_at: float
    tokens: int
    is_start: bool


@dataclass(slots=True)
class EndpointLoad:
    """One endpoint. `metrics` is its last scrape, None before the first."""

    member: Member
    last_busy: float
    metrics: EngineMetrics | None = None
    scraped_at: float | None = None
    interval: float = IDLE_INTERVAL  # the one in force since the last scrape
    missing: int = EVERYTHING  # in the last scrape
    slots: int = 0  # requests that it was seen to run at a time, as far as its queue does not say that it was too many
    fresh_until: float = float("-inf")
    in_flight: int = 0  # of this picker
    in_flight_tokens: int = 0
    elsewhere: int = 0  # in flight of other replicas
    elsewhere_tokens: int = 0
    since: Since = NOTHING_SINCE  # of all replicas
    # Estimates of now, see `estimate`. Requests, and a share of 0..1; and which of them are not known.
    waiting: float = 0.0
    running: float = 0.0
    kv_usage: float = 0.0
    total: float = 0.0  # waiting or running
    unknown: int = EVERYTHING
    events: deque[_Event] = field(default_factory=lambda: deque(maxlen=_EVENTS_LIMIT))

    @property
    def load(self) -> Load:
        """The estimates together."""
        return Load(self.waiting, self.running, self.kv_usage, self.unknown)

    def start(self, tokens: int, now: float) -> None:
        """Count a request in."""
        self.in_flight += 1
        self.in_flight_tokens += tokens
        self._started(tokens, now)

    def start_elsewhere(self, tokens: int, now: float) -> None:
        """Count another replica's request in."""
        self.elsewhere += 1
        self.elsewhere_tokens += tokens
        self._started(tokens, now)

    def _started(self, tokens: int, now: float) -> None:
        self.last_busy = now
        self.events.append(_Event(now, now, tokens, True))
        picks, finishes, picked, finished = self.since
        self.since = Since(picks + 1, finishes, picked + tokens, finished)
        self.estimate(now)

    def end(self, tokens: int, placed_at: float, now: float) -> None:
        """Count a request out."""
        self.in_flight -= 1
        self.in_flight_tokens -= tokens
        self._ended(tokens, placed_at, now)

    def end_elsewhere(self, tokens: int, placed_at: float, now: float) -> None:
        """Count another replica's request out."""
        self.elsewhere -= 1
        self.elsewhere_tokens -= tokens
        self._ended(tokens, placed_at, now)

    def _ended(self, tokens: int, placed_at: float, now: float) -> None:
        self.last_busy = now
        self.events.append(_Event(now, placed_at, tokens, is_start=False))
        since = self.since
        if placed_at > self._horizon():  # no scrape has seen it
            picks, picked = max(0, since.picks - 1), max(0, since.picked_tokens - tokens)
            self.since = Since(picks, since.finishes, picked, since.finished_tokens)
        else:
            finished = since.finished_tokens + tokens
            self.since = Since(since.picks, since.finishes + 1, since.picked_tokens, finished)
        self.estimate(now)

    def scraped(self, metrics: EngineMetrics, now: float) -> None:
        """Take a scrape."""
        self.metrics, self.scraped_at, self.missing = metrics, now, missing_in(metrics)
        if metrics.waiting or metrics.running:
            self.last_busy = now
        waiting = metrics.waiting or 0
        running = max(0, self.known() - waiting) if metrics.running is None else metrics.running
        self.slots = max(running, self.slots - waiting)
        self.interval = self.scrape_interval(now)
        self.fresh_until = now + max(STALE_AFTER_SECONDS, STALE_AFTER_INTERVALS * self.interval)
        self._recount()
        self.estimate(now)

    def scrape_interval(self, now: float) -> float:
        """How soon another scrape would show something new."""
        metrics = self.metrics
        if metrics is None:
            return BUSY_INTERVAL if self.known() else IDLE_INTERVAL / 4
        waiting, running = metrics.waiting or 0, metrics.running or 0
        if not self.known() and not waiting and not running:
            return min(IDLE_INTERVAL, max(BUSY_INTERVAL, (now - self.last_busy) / _IDLE_SLOWDOWN))
        if not waiting and abs(running - self.known()) <= 1:
            return KNOWN_INTERVAL
        return BUSY_INTERVAL

    def known(self) -> int:
        """Requests in flight there that any replica sent, as far as they share it."""
        return self.in_flight + self.elsewhere

    def is_fresh(self, now: float) -> bool:
        """Whether the metrics may be used as they are."""
        return now <= self.fresh_until

    def queued(self) -> float:
        """Requests that wait; placements count only where the scrape saw a queue already."""
        return self.waiting if self.metrics is None or self.metrics.waiting else 0.0

    def surplus(self) -> float:
        """Requests that wait, or would if the endpoint ran no more than it was seen to run."""
        return max(self.queued(), self.total - self.slots)

    def unseen(self) -> float:
        """Those of the surplus that no scrape has shown."""
        return max(0.0, min(self.since.picks, self.surplus()))

    def estimate(self, now: float) -> None:
        """Bring the figures to this time."""
        self.waiting, self.running, self.kv_usage, self.unknown = load_now(
            self.metrics,
            self.since,
            self.in_flight + self.elsewhere,
            is_fresh=now <= self.fresh_until,
            missing=self.missing,
        )
        self.total = self.waiting + self.running

    def _horizon(self) -> float:
        """What happened up to here is in the metrics."""
        return float("-inf") if self.scraped_at is None else self.scraped_at - SETTLING_SECONDS

    def _recount(self) -> None:
        events, horizon = self.events, self._horizon()
        while events and events[0].at <= horizon:
            events.popleft()
        picks = finishes = picked = finished = 0
        for event in events:
            if event.is_start:
                picks, picked = picks + 1, picked + event.tokens
            elif event.placed_at > horizon:
                picks, picked = picks - 1, picked - event.tokens
            else:
                finishes, finished = finishes + 1, finished + event.tokens
        self.since = Since(max(0, picks), finishes, max(0, picked), finished)


class LoadProducer:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._loads: dict[int, EndpointLoad] = {}
        self._stale_at = float("inf")  # when the first of the fresh ones goes stale
        self._aligned = Aligned(self._loads)
        self._unknown: set[int] = set()  # slots of which a figure is missing

    def handles(self) -> Handlers:
        """Placements, settlements, scrapes."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            Scraped: self._scraped,
            RequestPlaced: self._placed,
            RequestSettled: self._settled,
        }

    def columns(self) -> Mapping[str, Column]:
        """Requests there, and what of them is known by name: this picker's, and what other replicas share of theirs."""
        aligned = self._aligned_with
        return {
            "waiting": self._column(_WAITING, WAITING),
            "queued": self._column(EndpointLoad.queued, WAITING),
            "surplus": self._column(EndpointLoad.surplus, WAITING),
            "unseen": lambda placing, slots: [each.unseen() for each in aligned(placing, slots)],
            "running": self._column(_RUNNING, RUNNING),
            "total": self._column(_TOTAL, TOTAL),
            "kv_usage": self._column(_KV_USAGE, KV_USAGE),
            "missing": lambda placing, slots: [*map(_UNKNOWN, aligned(placing, slots))],
            "in_flight": lambda placing, slots: [each.in_flight + each.elsewhere for each in aligned(placing, slots)],
            "in_flight_tokens": lambda placing, slots: [
                each.in_flight_tokens + each.elsewhere_tokens for each in aligned(placing, slots)
            ],
            "scrape_interval": lambda placing, slots: [each.interval for each in aligned(placing, slots)],
        }

    def of(self, slot: int, now: float) -> EndpointLoad:
        """One endpoint's load, brought up to date."""
        self._refresh(now)
        return self._loads[slot]

    def in_flight(self, slot: int) -> int:
        """Requests of this picker and of other replicas there."""
        return self._loads[slot].known()

    def elsewhere(self, slot: int) -> tuple[int, int]:
        """Requests of other replicas there, and their tokens."""
        load = self._loads.get(slot)
        return (0, 0) if load is None else (load.elsewhere, load.elsewhere_tokens)

    def placed_elsewhere(self, slot: int, tokens: int, now: float) -> None:
        """Another replica's request goes there."""
        load = self._loads.get(slot)
        if load is not None:
            load.start_elsewhere(tokens, now)

    def ended_elsewhere(self, slot: int, tokens: int, placed_at: float, now: float) -> None:
        """It is over, or does not count any more."""
        load = self._loads.get(slot)
        if load is not None:
            load.end_elsewhere(tokens, placed_at, now)

    def requests(self, slot: int) -> float:
        """Requests there, whoever sent them."""
        return self._loads[slot].total

    def _column(self, figure: Callable[[EndpointLoad], float], flags: int) -> Column:
        """One of the estimates that each decision reads. Nearly always all of them are known."""
        unknown, aligned, known = self._unknown, self._aligned.of, self._known

        def column(placing: Placing, slots: Sequence[int]) -> Sequence[float]:
            if placing.now > self._stale_at:
                self._refresh(placing.now)
            values = [*map(figure, aligned(slots))]
            return known(values, slots, flags) if unknown else values

        return column

    def _known(self, values: Sequence[float], slots: Sequence[int], figure: int) -> Sequence[float]:
        """The values of a figure, with the worst of them where it is not known."""
        loads = self._loads
        return worst_for_missing(values, [loads[slot].unknown & figure for slot in slots])

    def _note_missing(self, slot: int, load: EndpointLoad) -> None:
        if load.unknown:
            self._unknown.add(slot)
        else:
            self._unknown.discard(slot)

    def _aligned_with(self, placing: Placing, slots: Sequence[int]) -> Sequence[EndpointLoad]:
        """The loads of these slots, up to date."""
        if placing.now > self._stale_at:
            self._refresh(placing.now)
        return self._aligned.of(slots)

    def _refresh(self, now: float) -> None:
        """Metrics may have gone stale since they were read."""
        if now <= self._stale_at:
            return
        self._stale_at = float("inf")
        for slot, each in self._loads.items():
            each.estimate(now)
            self._note_missing(slot, each)
            if each.is_fresh(now):
                self._stale_at = min(self._stale_at, each.fresh_until)

    def _joined(self, event: EndpointJoined, now: float) -> None:
        self._loads[event.member.slot] = EndpointLoad(event.member, now)
        self._unknown.add(event.member.slot)
        self._aligned.forget()

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        self._loads.pop(event.member.slot, None)
        self._unknown.discard(event.member.slot)
        self._aligned.forget()

    def _scraped(self, event: Scraped, now: float) -> None:
        load = self._loads[event.member.slot]
        load.scraped(event.metrics, now)
        self._note_missing(event.member.slot, load)
        self._stale_at = min(self._stale_at, load.fresh_until)

    def _placed(self, event: RequestPlaced, now: float) -> None:
        placement, loads = event.placement, self._loads
        primary = loads[placement.shares[0].member.slot]
        placement.notes[NOTE] = (primary.known(), primary.in_flight_tokens + primary.elsewhere_tokens)
        for member, prompt_tokens, answer_tokens, *_ in placement.shares:
            loads[member.slot].start(prompt_tokens + answer_tokens, now)

    def _settled(self, event: RequestSettled, now: float) -> None:
        for share in event.placement.shares:
            load = self._loads.get(share.member.slot)
            if load is not None and load.member is share.member:  # else it has left
                load.end(share.tokens, event.placement.placed_at, now)
