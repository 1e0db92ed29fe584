"""How fast one endpoint encodes, prefills and decodes, learned from first tokens and durations of its answers. Pure.

    time to first token = overhead + tokens to prefill × seconds per token + media tokens × seconds per media token
    gap between tokens  = a step without others + requests there × what each of them adds

Tokens to prefill are the request's own uncached ones and those queued before it. Both are lines through samples that
fade, never steeper or flatter than those of any real accelerator. What encoding pictures and sound takes is learned
from the prompts that hold some, as the rest of their time; prefill from the others.
"""

from collections.abc import Sequence

from epp.datalayer.producers.line import FadingLine, Sums

# Upstream's figure for an 8B model on one H100 (15 928 tokens per second at its peak), until something is measured.
PRIOR_PREFILL_TOKENS_PER_SECOND = 15_928.0
PRIOR_OVERHEAD_SECONDS = 0.02
_PRIOR_SPAN_TOKENS = 4096.0
# From an 8B model on eight accelerators to a 400B model on too few.
_PREFILL_BOUNDS = (1 / 500_000.0, 1 / 200.0)
# A first token later than this says something about queues or clients, nothing about prefill.
_LONGEST_SAMPLE_SECONDS = 60.0
# The same model: 7 ms for a step of one sequence, and 0.1 ms for each more with a thousand tokens of context.
PRIOR_DECODE_SECONDS_PER_TOKEN = 0.007
PRIOR_GAP_PER_REQUEST = 0.0001
_PRIOR_SPAN_REQUESTS = 32.0
# A long context on a small accelerator adds tens of milliseconds.
_GAP_BOUNDS = (0.0, 0.05)
# A vision encoder of 0.6 billion parameters beside that model makes about as many tokens a second as it prefills.
PRIOR_ENCODE_TOKENS_PER_SECOND = 15_000.0
_PRIOR_SPAN_MEDIA_TOKENS = 2048.0
_ENCODE_BOUNDS = (0.0, 1 / 100.0)


class SpeedEstimator:
    """The speed of one endpoint. The slopes are attributes of their own: each decision reads them."""

    __slots__ = ("_decode", "_encode", "_prefill", "gap_per_request", "seconds_per_media_token", "seconds_per_token")

    def __init__(self, prefill_tokens_per_second: float = PRIOR_PREFILL_TOKENS_PER_SECOND) -> None:
        self._prefill = FadingLine(
            PRIOR_OVERHEAD_SECONDS, 1 / prefill_tokens_per_second, span=_PRIOR_SPAN_TOKENS, bounds=_PREFILL_BOUNDS
        )
        self._decode = FadingLine(
            PRIOR_DECODE_SECONDS_PER_TOKEN, PRIOR_GAP_PER_REQUEST, span=_PRIOR_SPAN_REQUESTS, bounds=_GAP_BOUNDS
        )
        self._encode = FadingLine(
            0.0, 1 / PRIOR_ENCODE_TOKENS_PER_SECOND, span=_PRIOR_SPAN_MEDIA_TOKENS, bounds=_ENCODE_BOUNDS
        )
        self.seconds_per_token = self._prefill.slope  # prefill
        self.seconds_per_media_token = self._encode.slope  # beside prefill
        self.gap_per_request = self._decode.slope  # seconds by which each request there lengthens the gap of all

    @property
    def sums(self) -> tuple[Sums, ...]:
        """What was measured here, for others."""
        return self._prefill.sums, self._decode.sums, self._encode.sums

    def add_others(self, sums: Sequence[Sums]) -> None:
        """Take what others measured, all of them together, in the place of what they had."""
        for line, others in zip((self._prefill, self._decode, self._encode), sums, strict=True):
            line.add_others(others)
        self.seconds_per_token, self.gap_per_request = self._prefill.slope, self._decode.slope
        self.seconds_per_media_token = self._encode.slope

    @property
    def samples(self) -> int:
        """First tokens that were learned from."""
        return self._prefill.samples

    @property
    def overhead_seconds(self) -> float:
        """Time to first token of a prompt that is cached whole, with nothing before it."""
        return self._prefill.intercept

    @property
    def decode_seconds_per_token(self) -> float:
        """The gap between two tokens of a request that is alone."""
        return self._decode.intercept + self._decode.slope

    def step_seconds(self, requests: float) -> float:
        """A step in which so many are decoded together."""
        return self._decode.intercept + self._decode.slope * requests

    def first_token(self, tokens: int, seconds: float, media_tokens: int = 0) -> None:
        """One answer's first token came `seconds` after the pick, with `tokens` to prefill until it, `media_tokens` of
        them to encode before."""
        if not 0 <= seconds <= _LONGEST_SAMPLE_SECONDS:
            return
        if media_tokens:
            prefill = self.overhead_seconds + tokens * self.seconds_per_token
            self._encode.add(float(media_tokens), max(0.0, seconds - prefill))
            self.seconds_per_media_token = self._encode.slope
        else:
            self._prefill.add(float(tokens), seconds)
            self.seconds_per_token = self._prefill.slope

    def decoded(self, tokens: int, seconds: float, requests: float) -> None:
        """`tokens` more came in `seconds` after the first, with so many requests there."""
        if tokens > 0 and 0 <= seconds <= _LONGEST_SAMPLE_SECONDS * tokens:
            self._decode.add(requests, seconds / tokens)
            self.gap_per_request = self._decode.slope
