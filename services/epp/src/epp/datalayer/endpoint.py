"""What the picker knows of one endpoint: its last scrape, what is in flight there, and the load that follows. Pure."""

from collections import deque
from dataclasses import dataclass

from epp.datalayer.estimate import Load, Since, load_now
from epp.datalayer.health import Health
from epp.datalayer.speed import SpeedEstimator
from epp.domain import Endpoint, EngineMetrics, ServedModel

# A request picked this shortly before a scrape was answered may not have shown in it: engines publish once per step.
SETTLING_SECONDS = 0.02
# Metrics older than this are stale, or older than three of the endpoint's present scrape intervals if that is longer:
# one late scrape must not turn an estimate into a guess.
STALE_AFTER_SECONDS = 2.0
STALE_AFTER_INTERVALS = 3.0

# Scrape intervals. Upstream's 50 ms while metrics tell something that the ledger does not know.
BUSY_INTERVAL = 0.05
# The scrape agreed with what is in flight and nothing waits: the ledger knows the load as well as the metrics do.
KNOWN_INTERVAL = 0.25
IDLE_INTERVAL = 1.0
# An endpoint counts as idle a little longer each time: the interval is the idle time over this, within the bounds.
_IDLE_SLOWDOWN = 10.0
# Events between two scrapes. More than this on one endpoint within a scrape interval is beyond any engine.
_EVENTS_LIMIT = 4096

NO_METRICS = EngineMetrics()


@dataclass(frozen=True, slots=True)
class _Event:
    """A pick (then `picked_at` is `at`), or the end of one."""

    at: float
    picked_at: float
    tokens: int
    is_pick: bool


class EndpointState:
    """One endpoint of one pool. Its pool is the only writer; plugins read the figures through a view."""

    __slots__ = (
        "_events", "endpoint", "free_at", "fresh_until", "has_adapters", "health", "id", "in_flight",
        "in_flight_tokens", "interval", "last_busy", "last_cold", "load", "measured_cached", "metrics", "models",
        "observed_at", "pace", "since", "slot", "speed", "total",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, slot: int, now: float, prefill_tokens_per_second: float) -> None:
        self.endpoint = endpoint
        self.id = endpoint.id
        self.slot = slot
        self.metrics: EngineMetrics | None = None
        self.observed_at: float | None = None
        self.fresh_until = float("-inf")
        self.interval = IDLE_INTERVAL  # the one in force since the last scrape
        self.models: tuple[ServedModel, ...] = ()
        self.has_adapters = False
        self.in_flight = 0
        self.in_flight_tokens = 0
        self.free_at = now  # when the prefill reserved so far will be done
        self.total = 0.0  # requests there, waiting or running
        self.last_busy = now
        self.last_cold = 0
        self.measured_cached = 0
        self.health = Health()
        self.speed = SpeedEstimator(prefill_tokens_per_second)
        self.pace = self.speed.seconds_per_token  # the one that `free_at` counts on
        self.since = Since()
        self.load = Load(0, 0, 0.0)
        self._events: deque[_Event] = deque(maxlen=_EVENTS_LIMIT)

    def reserve(self, prompt_tokens: int, now: float, answer_tokens: int = 0) -> float:
        """Count a pick in; the prompt tokens queued before it are returned. Nobody waits for another's answer."""
        ahead, self.pace = self.backlog(now) / self.pace, self.speed.seconds_per_token
        self.free_at = now + (ahead + prompt_tokens) * self.pace
        tokens = prompt_tokens + answer_tokens
        self.in_flight += 1
        self.in_flight_tokens += tokens
        self.last_busy = now
        self._events.append(_Event(now, now, tokens, is_pick=True))
        since = self.since
        self.since = Since(since.picks + 1, since.finishes, since.picked_tokens + tokens, since.finished_tokens)
        self._estimate(now)
        return ahead

    def release(self, tokens: int, picked_at: float, now: float) -> None:
        """Count a finished request out."""
        self.in_flight -= 1
        self.in_flight_tokens -= tokens
        self.last_busy = now
        self._events.append(_Event(now, picked_at, tokens, is_pick=False))
        since = self.since
        if picked_at > self._horizon():  # no scrape has seen it
            picks, picked = max(0, since.picks - 1), max(0, since.picked_tokens - tokens)
            self.since = Since(picks, since.finishes, picked, since.finished_tokens)
        else:
            finished = since.finished_tokens + tokens
            self.since = Since(since.picks, since.finishes + 1, since.picked_tokens, finished)
        self._estimate(now)

    def backlog(self, now: float) -> float:
        """Seconds of prefill that are reserved and not done yet, at the endpoint's measured speed."""
        return max(0.0, self.free_at - now)

    def observe(self, metrics: EngineMetrics, now: float) -> None:
        """Take a scrape."""
        self.metrics, self.observed_at = metrics, now
        if metrics.waiting or metrics.running:
            self.last_busy = now
        elif not self.in_flight:
            self.free_at = now
        self.has_adapters = bool(metrics.max_adapters or metrics.active_adapters or metrics.waiting_adapters)
        self.interval = self.scrape_interval(now)
        self.fresh_until = now + max(STALE_AFTER_SECONDS, STALE_AFTER_INTERVALS * self.interval)
        self._recount()
        self._estimate(now)

    def refresh(self, now: float) -> None:
        """Let time pass: metrics may have become stale."""
        self._estimate(now)

    def scrape_interval(self, now: float) -> float:
        """How soon another scrape would tell something new."""
        metrics = self.metrics
        if metrics is None:
            return BUSY_INTERVAL if self.in_flight else IDLE_INTERVAL / 4
        waiting, running = metrics.waiting or 0, metrics.running or 0
        if not self.in_flight and not waiting and not running:
            return min(IDLE_INTERVAL, max(BUSY_INTERVAL, (now - self.last_busy) / _IDLE_SLOWDOWN))
        if not waiting and abs(running - self.in_flight) <= 1:
            return KNOWN_INTERVAL
        return BUSY_INTERVAL

    def is_fresh(self, now: float) -> bool:
        """Whether the metrics may be used as they are."""
        return now <= self.fresh_until

    def _estimate(self, now: float) -> None:
        self.load = load = load_now(self.metrics, now <= self.fresh_until, self.since, self.in_flight)
        self.total = load.waiting + load.running

    def _horizon(self) -> float:
        """What happened up to here is in the metrics."""
        return float("-inf") if self.observed_at is None else self.observed_at - SETTLING_SECONDS

    def _recount(self) -> None:
        events, horizon = self._events, self._horizon()
        while events and events[0].at <= horizon:
            events.popleft()
        picks = finishes = picked = finished = 0
        for event in events:
            if event.is_pick:
                picks, picked = picks + 1, picked + event.tokens
            elif event.picked_at > horizon:
                picks, picked = picks - 1, picked - event.tokens
            else:
                finishes, finished = finishes + 1, finished + event.tokens
        self.since = Since(max(0, picks), finishes, max(0, picked), finished)
