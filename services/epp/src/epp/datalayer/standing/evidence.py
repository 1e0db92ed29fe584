"""Successes and failures of one endpoint, each weighing half after a while. Pure."""

from typing import Final

# A sign weighs half after this time. Shorter would forget a server between two of its rare requests, longer would hold
# a minute against one that has recovered.
HALF_LIFE_SECONDS: Final = 10.0


class Evidence:
    """Two fading counts, and the failures since the last success."""

    __slots__ = ("_at", "bad", "good", "in_a_row")

    def __init__(self) -> None:
        self.good = self.bad = 0.0
        self.in_a_row = 0
        self._at = 0.0

    def succeeded(self, now: float) -> None:
        """Count a success."""
        self.fade(now)
        self.good += 1.0
        self.in_a_row = 0

    def failed(self, now: float) -> None:
        """Count a failure."""
        self.fade(now)
        self.bad += 1.0
        self.in_a_row += 1

    def fade(self, now: float) -> None:
        """Bring both counts to this time."""
        elapsed = now - self._at
        if elapsed > 0:
            factor = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
            self.good *= factor
            self.bad *= factor
            self._at = now

    def clear(self) -> None:
        """Forget all."""
        self.good = self.bad = 0.0
        self.in_a_row = 0
