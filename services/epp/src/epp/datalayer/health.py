"""Avoids an endpoint that cannot be reached, and lets it back gradually. Pure.

Envoy's `override_host` does not do this: it would send to the picked endpoint first, whatever its health. Ejection is
a preference, never a verdict: when nothing better exists an ejected endpoint is still picked.
"""

from enum import StrEnum
from random import Random

# Three refused connections in a row are not chance; fewer would punish one lost packet.
FAILURES_TO_EJECT = 3
# A scraper that is refused twice in a row speaks of the same port that requests use.
SCRAPE_FAILURES_TO_EJECT = 2
# A busy server may be slow to tell its metrics; one that says nothing for some ten seconds, and answers no request
# either, hangs.
SCRAPE_TIMEOUTS_TO_EJECT = 5
FIRST_EJECTION_SECONDS = 5.0
LONGEST_EJECTION_SECONDS = 120.0
# Doubled so often, the first is longer than the longest; a figure doubled for days is none.
_MOST_DOUBLINGS = 5
# Back from an ejection, an endpoint's share of decisions grows from none to full in this time.
RETURN_SECONDS = 10.0


class Standing(StrEnum):
    """Whether an endpoint is avoided."""

    GOOD = "good"
    EJECTED = "ejected"
    RETURNING = "returning"


class Health:
    """One endpoint's connect failures and what follows from them."""

    __slots__ = (
        "_failures", "_is_unscrapable", "_scrape_failures", "_silences", "ejected_until", "ejections", "reason",
    )  # fmt: skip

    def __init__(self) -> None:
        self._failures = 0
        self._scrape_failures = 0
        self._silences = 0
        self._is_unscrapable = False
        self.ejections = 0
        self.ejected_until = float("-inf")
        self.reason = ""

    def standing(self, now: float) -> Standing:
        """Where the endpoint stands now."""
        if self._is_unscrapable or now < self.ejected_until:
            return Standing.EJECTED
        return Standing.RETURNING if now < self.ejected_until + RETURN_SECONDS else Standing.GOOD

    def settles_at(self, now: float) -> float:
        """When the standing changes by itself."""
        if self._is_unscrapable:
            return float("inf")
        for moment in (self.ejected_until, self.ejected_until + RETURN_SECONDS):
            if now < moment:
                return moment
        return float("inf")

    def admits(self, now: float, random: Random) -> bool:
        """Whether a returning endpoint takes part in this decision."""
        return random.random() * RETURN_SECONDS < now - self.ejected_until

    def request_failed(self, now: float, reason: str) -> bool:
        """A request could not connect. True when the endpoint is ejected by it."""
        self._failures += 1
        if self._failures < FAILURES_TO_EJECT or now < self.ejected_until:
            return False
        self._failures = 0
        doubled = FIRST_EJECTION_SECONDS * 2 ** min(self.ejections, _MOST_DOUBLINGS)
        self.ejected_until = now + min(LONGEST_EJECTION_SECONDS, doubled)
        self.ejections += 1
        self.reason = reason
        return True

    def request_succeeded(self) -> None:
        """A request was answered."""
        self._silences = 0
        self._failures = 0
        self.ejections = 0

    def scrape_failed(self, reason: str) -> bool:
        """A scrape could not connect. True when the endpoint is ejected by it."""
        self._scrape_failures += 1
        return self._scrape_failures >= SCRAPE_FAILURES_TO_EJECT and self._leave(reason)

    def scrape_timed_out(self, reason: str) -> bool:
        """A scrape was not answered in time. True when the endpoint is ejected by it."""
        self._silences += 1
        return self._silences >= SCRAPE_TIMEOUTS_TO_EJECT and self._leave(reason)

    def _leave(self, reason: str) -> bool:
        was_unscrapable, self._is_unscrapable = self._is_unscrapable, True
        if not was_unscrapable:
            self.reason = reason
        return not was_unscrapable

    def scrape_succeeded(self, now: float) -> bool:
        """The metrics port answers. True when this ends an ejection."""
        self._scrape_failures = self._silences = 0
        if not self._is_unscrapable:
            return False
        self._is_unscrapable = False
        self.ejected_until = max(self.ejected_until, now)
        return True
