"""What is wrong with a configuration, said so that a person finds the place. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding at one place. `line` counts from 1."""

    source: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{self.source}:{self.line}: {place}{self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: str, valid: Iterable[str]) -> str:
    """Words to add to "unknown …": the closest valid name, or all of them where nothing is close."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.6) or get_close_matches(
        name.lower().replace("_", "-"), names, n=1, cutoff=0.5
    )
    if close:
        return f"; did you mean {close[0]!r}?"
    if 0 < len(names) <= 12:
        return f"; valid: {', '.join(names)}"
    far = get_close_matches(name, names, n=1, cutoff=0.0) if name else []
    return f"; the nearest is {far[0]!r}" if far else ""
