"""How fast one endpoint prefills and decodes, learned from the first tokens and durations of its answers. Pure.

Time to first token is taken as `overhead + tokens × seconds_per_token`, where tokens are those to prefill, the
request's own uncached ones and those queued before it. A least-squares line whose samples fade, held up by a prior, so
that it is defined before the first sample and never steeper or flatter than any real accelerator.
"""

# Upstream's figure for an 8B model on one H100 (15 928 tokens per second at its peak), until something is measured.
PRIOR_PREFILL_TOKENS_PER_SECOND = 15_928.0
PRIOR_OVERHEAD_SECONDS = 0.02
PRIOR_DECODE_SECONDS_PER_TOKEN = 0.012
# The prior counts as this many samples at either end of its line, and fades as real ones come; what stays keeps the
# line defined when all prompts have the same length.
_PRIOR_WEIGHT = 4.0
_LEAST_PRIOR_WEIGHT = 0.1
_PRIOR_FADE = 0.95
_PRIOR_SPAN_TOKENS = 4096.0
# A sample weighs half after about 70 newer ones: follows a changed load within seconds, ignores single outliers.
_FADE = 0.99
_DECODE_SHARE = 0.05
# From an 8B model on eight accelerators to a 400B model on too few.
_FASTEST, _SLOWEST = 1 / 500_000.0, 1 / 200.0
# A first token later than this says something about queues or clients, nothing about prefill.
_LONGEST_SAMPLE_SECONDS = 60.0


class SpeedEstimator:
    """The speed of one endpoint."""

    __slots__ = ("_prior_slope", "_s", "_sx", "_sxx", "_sxy", "_sy", "decode_seconds_per_token", "overhead_seconds",
                 "samples", "seconds_per_token")  # fmt: skip

    def __init__(self, prefill_tokens_per_second: float = PRIOR_PREFILL_TOKENS_PER_SECOND) -> None:
        self.samples = 0
        self.decode_seconds_per_token = PRIOR_DECODE_SECONDS_PER_TOKEN
        self.overhead_seconds = PRIOR_OVERHEAD_SECONDS
        self._prior_slope = 1 / prefill_tokens_per_second
        self.seconds_per_token = self._prior_slope
        self._s = self._sx = self._sy = self._sxx = self._sxy = 0.0

    def first_token(self, tokens: int, seconds: float) -> None:
        """One answer's first token came `seconds` after the pick, with `tokens` to prefill until it."""
        if not 0 <= seconds <= _LONGEST_SAMPLE_SECONDS:
            return
        self.samples += 1
        x, y = float(tokens), seconds
        self._s = self._s * _FADE + 1
        self._sx = self._sx * _FADE + x
        self._sy = self._sy * _FADE + y
        self._sxx = self._sxx * _FADE + x * x
        self._sxy = self._sxy * _FADE + x * y
        self._solve()

    def decoded(self, tokens: int, seconds: float) -> None:
        """`tokens` more came in `seconds` after the first."""
        if tokens > 0 and seconds >= 0:
            sample = seconds / tokens
            self.decode_seconds_per_token += _DECODE_SHARE * (sample - self.decode_seconds_per_token)

    def _solve(self) -> None:
        low, high = PRIOR_OVERHEAD_SECONDS, PRIOR_OVERHEAD_SECONDS + _PRIOR_SPAN_TOKENS * self._prior_slope
        weight = max(_LEAST_PRIOR_WEIGHT, _PRIOR_WEIGHT * _PRIOR_FADE**self.samples)
        n = self._s + 2 * weight
        sx = self._sx + weight * _PRIOR_SPAN_TOKENS
        sy = self._sy + weight * (low + high)
        sxx = self._sxx + weight * _PRIOR_SPAN_TOKENS**2
        sxy = self._sxy + weight * _PRIOR_SPAN_TOKENS * high
        slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
        self.seconds_per_token = min(_SLOWEST, max(_FASTEST, slope))
        self.overhead_seconds = max(0.0, (sy - self.seconds_per_token * sx) / n)
