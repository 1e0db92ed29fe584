"""How many tokens an engine counts where the picker estimates one, learned from the usage that answers report. Pure.

The estimate is four bytes a token. Text of another density is off by a constant factor, and so would be how much text
an engine's cache of so many tokens is believed to hold.
"""

# Until answers say something, the estimate stands; it weighs as much as one long prompt.
_PRIOR_TOKENS = 4096.0
# A prompt weighs half after about 70 newer ones.
_FADE = 0.99
# From prose (0.8) to scripts that cost a token per byte (4). What is beyond holds something else than text: an image
# is a few bytes here and a thousand tokens there.
_LEAST, _MOST = 0.25, 4.0


class TokenScale:
    """The factor of one pool. Long prompts and recent ones count most."""

    __slots__ = ("_counted", "_estimated")

    def __init__(self) -> None:
        self._counted = self._estimated = _PRIOR_TOKENS

    @property
    def value(self) -> float:
        """Engine tokens per estimated token, 0.25 to 4."""
        return self._counted / self._estimated

    def learn(self, estimated: int, counted: int) -> None:
        """One prompt's estimate, and what its engine counted."""
        if estimated and _LEAST * estimated <= counted <= _MOST * estimated:
            self._counted = self._counted * _FADE + counted
            self._estimated = self._estimated * _FADE + estimated
