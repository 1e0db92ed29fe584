"""How long things take in a pool, so that one that takes far longer is noticed. Pure.

Mean and mean deviation fade as a retransmission timer's do (RFC 6298): a fleet that becomes slow as a whole raises its
own limit, and one slow server among several moves it little.
"""

from typing import Final

# The gains of RFC 6298, and its four deviations above the mean.
_MEAN_GAIN: Final = 1 / 8
_DEVIATION_GAIN: Final = 1 / 4
_DEVIATIONS: Final = 4.0
# What lies beyond the limit counts as one at so many deviations. Where a third of the samples are such they move the
# limit little; where all are, it follows within some twenty.
_OUTLIER: Final = 2.0
# Deviations are taken for no less than this share of the mean: equal samples would make everything else an outlier.
_LEAST_DEVIATION: Final = 0.1


class Expectation:
    """Seconds for something of size 1; larger ones are expected to take longer in proportion."""

    __slots__ = ("_deviation", "_least", "_margin", "_mean", "_unknown")

    def __init__(self, *, least: float, margin: float, unknown: float) -> None:
        """`least` is the lowest limit in seconds, `margin` its factor, `unknown` the limit before the first sample."""
        self._least = least
        self._margin = margin
        self._unknown = unknown
        self._mean: float | None = None
        self._deviation = 0.0

    def took(self, seconds: float, size: float = 1.0) -> None:
        """One was done."""
        sample = seconds / size
        if self._mean is None:
            self._mean, self._deviation = sample, sample / 2
            return
        if seconds > self.limit(size):
            sample = min(sample, self._mean + _OUTLIER * self._deviation)
        self._deviation += _DEVIATION_GAIN * (abs(sample - self._mean) - self._deviation)
        self._mean += _MEAN_GAIN * (sample - self._mean)
        self._deviation = max(self._deviation, _LEAST_DEVIATION * self._mean)

    def limit(self, size: float = 1.0) -> float:
        """What takes longer than this is no chance."""
        if self._mean is None:
            return self._unknown * size
        return max(self._least, self._margin * size * (self._mean + _DEVIATIONS * self._deviation))
