"""What the command line says of loads and fleets: one value, a range, or a list. Pure.

1x   0.5x..2x   20   10..40   10,15,30      rates: a trace's own many times (x), or requests a second
8    4..12      4,6,8                       servers
"""

import re
from dataclasses import dataclass
from typing import Final

RATE_LIMIT: Final = 100_000.0
SERVERS_LIMIT: Final = 2000
POINTS_LIMIT: Final = 50
_NUMBER: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(x?)")


class RangeError(ValueError):
    """A text that is no range; it says what is expected."""


@dataclass(frozen=True, slots=True)
class Rates:
    """In order. `is_relative`: how often a trace's own rate."""

    values: tuple[float, ...]
    is_relative: bool


def rates(text: str, steps: int) -> Rates:
    """A range has `steps` values, each the same many times the one before."""
    words = re.split(r"\.\.|,", text)
    found = [_NUMBER.fullmatch(word.strip()) for word in words]
    if not all(found):
        raise RangeError(f"expected 1x, 0.5x..2x, 20 or 10..40, got {shortened(text)}")
    numbers = [float(each[1]) for each in found if each]
    marks = {each[2] for each in found if each}
    if len(marks) > 1:
        raise RangeError(f"all of it in requests a second, or all of it with x, got {shortened(text)}")
    if not all(0 < number <= RATE_LIMIT for number in numbers):
        raise RangeError(f"expected more than 0 and at most {RATE_LIMIT:g}, got {shortened(text)}")
    return Rates(_spread(text, numbers, steps), marks == {"x"})


def servers(text: str, steps: int) -> tuple[int, ...]:
    """A range has at most `steps` values, evenly."""
    words = re.split(r"\.\.|,", text)
    if not all(re.fullmatch(r"\s*\d{1,5}\s*", word) for word in words):
        raise RangeError(f"expected 8, 4..12 or 4,6,8, got {shortened(text)}")
    numbers = [int(word) for word in words]
    if not all(1 <= number <= SERVERS_LIMIT for number in numbers):
        raise RangeError(f"expected 1 to {SERVERS_LIMIT} servers, got {shortened(text)}")
    if ".." not in text:
        return tuple(map(int, _listed(text, [*map(float, numbers)])))
    low, high = _ends(text, [*map(float, numbers)])
    count = min(steps, int(high - low) + 1)
    return tuple(dict.fromkeys(round(low + (high - low) * at / max(1, count - 1)) for at in range(count)))


def _spread(text: str, numbers: list[float], steps: int) -> tuple[float, ...]:
    if ".." not in text:
        return tuple(_listed(text, numbers))
    low, high = _ends(text, numbers)
    if steps == 1 or low == high:
        return (low,)
    return tuple(round(low * (high / low) ** (at / (steps - 1)), 3) for at in range(steps))


def _listed(text: str, numbers: list[float]) -> list[float]:
    if len(numbers) > POINTS_LIMIT:
        raise RangeError(f"expected at most {POINTS_LIMIT} values, got {len(numbers)} in {shortened(text)}")
    return sorted(set(numbers))


def shortened(text: str) -> str:
    """In a message, however long it is."""
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _ends(text: str, numbers: list[float]) -> tuple[float, float]:
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise RangeError(f"expected a range from low to high, got {shortened(text)}")
    return numbers[0], numbers[1]
