"""One endpoint of one pool while it is scraped: a state machine over answers and time. Pure.

    IDLE ──begin──▶ SCRAPING ──scraped: models are due──▶ LISTING ──end──▶ IDLE
                       │                                └─get_health─▶ CHECKING ──end──▶ IDLE
                       └──────────scraped, end──────────────────────────────▲
    any ──leave──▶ GONE

An answer belongs to one round, by its number: what comes for an earlier round, or after the end of its own, is stale.
"""

from enum import Enum, auto
from typing import Final

from epp.domain import Endpoint, EngineMetrics, PoolId, RunId, ScrapeFault, ServedModel

LOCKED_STATUS: Final = (401, 403)
HTTP_OK: Final = 200
UNAVAILABLE: Final = 503
# An engine that has died inside a server that lives says so here; between two questions requests show it, too.
HEALTH_SECONDS: Final = 2.0


class Step(Enum):
    """What an endpoint is asked now."""

    IDLE = auto()
    SCRAPING = auto()
    LISTING = auto()
    CHECKING = auto()
    GONE = auto()


class ScrapeTarget:
    """Its owner asks, and tells it what came."""

    __slots__ = (
        "_gaps", "checked_at", "endpoint", "fault", "health_at", "is_doubtful", "is_listing_apart", "is_locked",
        "is_ready", "is_retry", "is_silent_of_models", "is_unreached_here", "models", "models_at", "models_seen",
        "models_shared_at", "pool", "round", "step", "taken_at", "taken_by", "unable",
    )  # fmt: skip

    def __init__(self, pool: PoolId, endpoint: Endpoint) -> None:
        self.pool = pool
        self.endpoint = endpoint
        self.step = Step.IDLE
        self.round = 0
        self.fault: ScrapeFault | None = None  # of the last scrape
        self._gaps: tuple[str, ...] = ()  # figures that the last scrape did not bring
        self.is_retry = False  # this round comes after a failed one
        self.models_at = 0.0  # when its models are due
        self.models_seen = b""
        self.is_silent_of_models = False  # the last time it was asked
        self.is_locked = False  # it lists its models to clients with a key only
        self.health_at = 0.0  # when it is asked whether it is ready
        self.is_ready = True  # as far as it answered that
        self.is_listing_apart = False  # over a connection of its own, beside the scrapes
        # What other replicas have to do with it: see `division`.
        self.checked_at = float("-inf")  # the end of the last scrape here
        self.taken_at = float("-inf")  # when another replica's last scrape came
        self.taken_by = RunId("")
        self.unable: set[RunId] = set()  # replicas that do not reach it, this one perhaps among them
        self.is_doubtful = False  # another replica did not reach it: this one is to see for itself
        self.is_unreached_here = False  # and another one reaches it
        self.models: tuple[ServedModel, ...] = ()  # the last list, to be shared
        self.models_shared_at = float("-inf")

    @property
    def is_busy(self) -> bool:
        """Whether an answer is awaited."""
        return self.step in (Step.SCRAPING, Step.LISTING, Step.CHECKING)

    def is_current(self, number: int) -> bool:
        """Whether an answer of this round still counts."""
        return self.is_busy and self.round == number

    def begin(self) -> int:
        """A scrape starts; the number of its round."""
        if self.step is not Step.IDLE:
            raise RuntimeError(f"a scrape began in step {self.step.name}")
        self.step = Step.SCRAPING
        self.round += 1
        return self.round

    def scraped(self, found: EngineMetrics | ScrapeFault) -> bool:
        """What a scrape gave; whether the endpoint turned from good to bad, from bad to good, or to another fault."""
        fault = found if isinstance(found, ScrapeFault) else None
        has_changed, self.fault = fault is not self.fault, fault
        if fault is not None:
            self.models_at = 0.0
        return has_changed

    def lacks(self, gaps: tuple[str, ...]) -> bool:
        """What a scrape did not bring; whether there is something that the last one had."""
        has_more, self._gaps = not set(gaps) <= set(self._gaps), gaps
        return has_more

    def are_models_due(self, now: float, seconds: float) -> bool:
        """Whether its models are to be listed after this scrape; the next time is `seconds` later."""
        if self.fault is not None or now < self.models_at or self.is_listing_apart:
            return False
        self.models_at = now + seconds
        return True

    def is_health_due(self, now: float) -> bool:
        """Whether it is asked after this scrape whether it is ready; the next time is later."""
        if self.fault not in (None, ScrapeFault.NOT_READY) or now < self.health_at:
            return False
        self.health_at = now + HEALTH_SECONDS
        return True

    def check_health(self) -> None:
        """The same connection is asked whether the server is ready."""
        self.step = Step.CHECKING

    def health_answered(self, status: int) -> None:
        """Whether it is ready. Servers that know no such question answer otherwise, and are taken to be."""
        self.is_ready = status != UNAVAILABLE
        if not self.is_ready:
            self.health_at = 0.0

    def list_models(self) -> None:
        """The same connection is asked for the models now."""
        self.step = Step.LISTING

    def end(self) -> None:
        """This round is over."""
        if self.step is not Step.GONE:
            self.step = Step.IDLE

    def leave(self) -> None:
        """It is scraped no more."""
        self.step = Step.GONE

    def models_answered(self, status: int | None, body: bytes) -> bool:
        """An answer to the question for models, None without one; whether its body is worth reading."""
        self.is_silent_of_models = status != HTTP_OK
        self.is_locked = status in LOCKED_STATUS
        return not self.is_silent_of_models and body != self.models_seen
