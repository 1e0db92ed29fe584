"""The phrases that every message shares: what a value is, and which valid name is meant. Pure."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

LONGEST_SHOWN: Final = 60  # characters of a value; a message never shows a whole document
MOST_LISTED: Final = 12  # valid names; more are no help


def what(value: object) -> str:
    """A value as a message shows it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "an object"
        case list():
            return "a list"
        case int() if abs(value) >= 10**LONGEST_SHOWN:
            return "a huge number"  # Python refuses to print the longest
        case _:
            shown = repr(value)
            return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 3] + "..."


def nearest(name: str, valid: Iterable[str]) -> str:
    """What to add to "unknown …": the closest valid name, or all of them where nothing is close."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.6) or get_close_matches(
        name.lower().replace("_", "-"), names, n=1, cutoff=0.5
    )
    if close:
        return f"; did you mean {close[0]!r}?"
    if 0 < len(names) <= MOST_LISTED:
        return f"; valid: {', '.join(names)}"
    far = get_close_matches(name, names, n=1, cutoff=0.0) if name else []
    return f"; the nearest is {far[0]!r}" if far else ""


def unknown_field(name: str, valid: Iterable[str]) -> str:
    """A field that does not exist, most often a misspelt one."""
    return f"unknown field{nearest(name, valid)}"


def outside(value: float, low: float | None, high: float | None) -> str | None:
    """What was expected of a number that is out of bounds; None within them."""
    if low is not None and high is not None and not low <= value <= high:
        return f"{low:.16g} to {high:.16g}"
    if low is not None and value < low:
        return f"at least {low:.16g}"
    if high is not None and value > high:
        return f"at most {high:.16g}"
    return None
