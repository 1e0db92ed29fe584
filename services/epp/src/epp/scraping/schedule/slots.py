"""How many endpoints are asked at a time, and how long until an endpoint's next turn. Pure."""

from random import Random
from typing import Final

from epp.scraping.schedule.target import ScrapeTarget

MAX_SCRAPES: Final = 256  # answers in flight; each holds a socket buffer and, briefly, one body
MAX_RETRIES: Final = 64  # of them at a time; with more failing endpoints than that, each is asked less often
# A failing endpoint is asked this often: soon enough to notice its return, too rarely to cost anything.
FAILING_INTERVAL_SECONDS: Final = 1.0
# When all slots are taken, an endpoint tries again after this much, and up to three times as much by chance.
FULL_SECONDS: Final = 0.01


class Slots:
    """Rounds in flight. Endpoints that failed before have slots of their own, so that they never hold up the others."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.retries = 0

    def take(self, target: ScrapeTarget) -> bool:
        """A slot for a round that begins; False while all are taken."""
        target.is_retry = target.fault is not None
        if target.is_retry:
            if self.retries >= MAX_RETRIES:
                return False
            self.retries += 1
        else:
            if self.scrapes >= MAX_SCRAPES:
                return False
            self.scrapes += 1
        return True

    def give_back(self, target: ScrapeTarget) -> None:
        """The round is over."""
        if target.is_retry:
            self.retries -= 1
        else:
            self.scrapes -= 1


def until_slot(random: Random) -> float:
    """Seconds until an endpoint that got no slot tries again."""
    return FULL_SECONDS * (1.0 + 2.0 * random.random())


def until_next(target: ScrapeTarget, interval: float, random: Random) -> float:
    """Seconds until an endpoint's next round; `interval` is the picker's wish for one that answers."""
    if target.fault is None:
        return interval
    return FAILING_INTERVAL_SECONDS * (0.75 + 0.5 * random.random())
