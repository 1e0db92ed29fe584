"""A straight line through samples that fade, held up by a prior. Pure.

Least squares of y = intercept + slope × x. The prior is a line of its own, given as two samples at either end of a span
of x; it makes the answer defined before the first sample, fades as real ones come, and what stays of it keeps the line
defined when all samples have the same x. Samples that others took are added as their sums, which fade where they were
taken.
"""

from typing import Final, NamedTuple

# The prior counts as this many samples at either end.
_PRIOR_WEIGHT = 4.0
_LEAST_PRIOR_WEIGHT = 0.1
_PRIOR_FADE = 0.95
# A sample weighs half after about 70 newer ones: follows a change within seconds, ignores single outliers.
_FADE = 0.99


class Sums(NamedTuple):
    """What is kept of samples: how many there were, and the sums of their weights, x, y, x² and xy."""

    samples: float = 0.0
    n: float = 0.0
    sx: float = 0.0
    sy: float = 0.0
    sxx: float = 0.0
    sxy: float = 0.0


NO_SUMS: Final = Sums()


class FadingLine:
    """`slope` stays within its bounds, and `intercept` is never below zero."""

    __slots__ = (
        "_bounds",
        "_high",
        "_low",
        "_n",
        "_others",
        "_span",
        "_sx",
        "_sxx",
        "_sxy",
        "_sy",
        "intercept",
        "samples",
        "slope",
    )

    def __init__(self, intercept: float, slope: float, *, span: float, bounds: tuple[float, float]) -> None:
        self.samples = 0
        self.intercept, self.slope = intercept, slope
        self._low, self._high = intercept, intercept + span * slope
        self._span, self._bounds = span, bounds
        self._n = self._sx = self._sy = self._sxx = self._sxy = 0.0
        self._others = NO_SUMS

    @property
    def sums(self) -> Sums:
        """Of its own samples."""
        return Sums(self.samples, self._n, self._sx, self._sy, self._sxx, self._sxy)

    def add_others(self, sums: Sums) -> None:
        """Take what others know, all of them together, in the place of what they knew."""
        self._others = sums
        self._solve()

    def add(self, x: float, y: float) -> None:
        """Take a sample."""
        self.samples += 1
        self._n = self._n * _FADE + 1
        self._sx = self._sx * _FADE + x
        self._sy = self._sy * _FADE + y
        self._sxx = self._sxx * _FADE + x * x
        self._sxy = self._sxy * _FADE + x * y
        self._solve()

    def _solve(self) -> None:
        span, others = self._span, self._others
        weight = max(_LEAST_PRIOR_WEIGHT, _PRIOR_WEIGHT * _PRIOR_FADE ** (self.samples + others.samples))
        n = self._n + others.n + 2 * weight
        sx = self._sx + others.sx + weight * span
        sy = self._sy + others.sy + weight * (self._low + self._high)
        sxx = self._sxx + others.sxx + weight * span**2
        sxy = self._sxy + others.sxy + weight * span * self._high
        slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
        least, most = self._bounds
        self.slope = min(most, max(least, slope))
        self.intercept = max(0.0, (sy - self.slope * sx) / n)
