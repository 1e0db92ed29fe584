"""How many tokens an engine counts where the picker estimates one, learned from the usage that answers report. Pure.

The estimate is four bytes a token of text, and what the family's table says of pictures and sound. Text of another
density is off by a constant factor, and so would be how much text an engine's cache of so many tokens is believed to
hold. Media are off by a factor of their own: a prompt with media teaches theirs, with its text at the text's factor.
"""

# Until answers say something, the estimate stands; it weighs as much as one long prompt.
_PRIOR_TOKENS = 4096.0
# A prompt weighs half after about 70 newer ones.
_FADE = 0.99
# From prose (0.8) to scripts that cost a token per byte (4); a family's table of pictures is off by no more.
_LEAST, _MOST = 0.25, 4.0


class _Factor:
    """Long prompts and recent ones count most."""

    __slots__ = ("_counted", "_estimated")

    def __init__(self) -> None:
        self._counted = self._estimated = _PRIOR_TOKENS

    @property
    def value(self) -> float:
        return self._counted / self._estimated

    def learn(self, estimated: float, counted: float) -> None:
        if estimated and _LEAST * estimated <= counted <= _MOST * estimated:
            self._counted = self._counted * _FADE + counted
            self._estimated = self._estimated * _FADE + estimated


class TokenScale:
    """The factors of one pool."""

    __slots__ = ("_media", "_text")

    def __init__(self) -> None:
        self._text, self._media = _Factor(), _Factor()

    @property
    def text(self) -> float:
        """Engine tokens per estimated token of text, 0.25 to 4."""
        return self._text.value

    @property
    def media(self) -> float:
        """Engine tokens per estimated token of pictures and sound, 0.25 to 4."""
        return self._media.value

    def learn(self, estimated: int, counted: int, media: int = 0) -> None:
        """One prompt's estimate, `media` of it for pictures and sound, and what its engine counted."""
        if not media:
            self._text.learn(estimated, counted)
        else:
            self._media.learn(media, counted - (estimated - media) * self._text.value)
