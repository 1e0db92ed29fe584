"""How long to pause before what failed is tried again. Pure."""

from typing import Final

_MOST_DOUBLINGS: Final = 16  # a float has room for no more than a thousand


def pause(failures: int, shortest: float, longest: float) -> float:
    """Seconds after so many failures in a row, at least one: each doubles them."""
    return min(longest, shortest * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
