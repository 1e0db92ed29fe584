"""What was used, by day, tenant and model, and sums of it that wait to be kept. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

# Sums of a day in one process. Tenants and models exist, so there are fewer; what is beyond shares one line.
MOST_LINES: Final = 10_000
OTHER: Final = "(other)"
LONGEST_NAME: Final = 256
_DAY_SECONDS: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()


class Line(NamedTuple):
    """What one line of the bill is about. `day` is a date in UTC, such as 2026-11-28."""

    day: str
    tenant: str
    model: str


COST_CENTRE: Final = "cost_centre"  # of a line's tenant, as tenants are when the bill is read
FIELDS: Final = (*Line._fields, COST_CENTRE)
NO_CENTRES: Final[Mapping[str, str]] = MappingProxyType({})


class Totals(NamedTuple):
    """Counts. `cached` ones are part of `prompt`, `reasoning` ones of `completion`; `estimated` of the `requests` told
    no usage. GPU time is in microseconds, so that every sum is exact."""

    requests: int = 0
    estimated: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    gpu_microseconds: int = 0

    def plus(self, other: "Totals") -> "Totals":
        """Both together."""
        return Totals(*map(int.__add__, self, other))


NOTHING: Final = Totals()


def day_of(moment: float) -> str:
    """The date of a time in Unix seconds, in UTC."""
    return _date(int(moment // _DAY_SECONDS))


@lru_cache(maxsize=2)
def _date(day: int) -> str:
    return date.fromordinal(_EPOCH + day).isoformat()


class Sums:
    """What is not kept yet, by line. `known` are the lines of this day, of which there is a bound."""

    def __init__(self) -> None:
        self._sums: dict[Line, Totals] = {}
        self._known: set[Line] = set()
        self._day = ""

    def add(self, line: Line, totals: Totals) -> None:
        """Count one request."""
        known = self._sums.get(line)
        if known is None:
            line = self._bounded(line)
            known = self._sums.get(line, NOTHING)
        self._sums[line] = known.plus(totals)

    def take(self) -> Mapping[Line, Totals]:
        """All of it, which is not here any more."""
        taken, self._sums = self._sums, {}
        return taken

    def _bounded(self, line: Line) -> Line:
        line = Line(line.day, line.tenant[:LONGEST_NAME], line.model[:LONGEST_NAME])
        if line.day != self._day:
            self._day, self._known = line.day, set()
        if line not in self._known:
            if len(self._known) >= MOST_LINES:
                return Line(line.day, OTHER, OTHER)
            self._known.add(line)
        return line


def summed(
    lines: Iterable[tuple[Line, Totals]], by: Iterable[str], centres: Mapping[str, str] = NO_CENTRES
) -> Mapping[tuple[str, ...], Totals]:
    """Totals by these of FIELDS, in order of their values. `centres` are the cost centres of tenants."""
    fields, found = tuple(by), dict[tuple[str, ...], Totals]()
    for line, totals in lines:
        known = {**line._asdict(), COST_CENTRE: centres.get(line.tenant, "")}
        key = tuple(known[field] for field in fields)
        found[key] = found.get(key, NOTHING).plus(totals)
    return dict(sorted(found.items()))
