"""The metrics of workers as those of one service, from Prometheus' text. Pure.

Counters and histograms are added up, and keep what workers had counted that are gone: a sum that fell would look like a
restart of all. What is measured at a moment has a series for each worker, with its label.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.service.exposition import number

_ADDED_UP: Final = frozenset({"counter", "histogram", "summary"})
# Series of workers that are gone. A worker has bounded labels; restarts add only what names are new.
GONE_LIMIT: Final = 50_000


@dataclass(slots=True)
class Family:
    """`header` are the two lines before its samples; those are by the text before their value."""

    header: str
    is_added_up: bool
    samples: dict[str, float] = field(default_factory=dict)


class Sum:
    """`take` what a worker shows now, `end` one that is gone; `render` all."""

    def __init__(self) -> None:
        self._latest: dict[int, dict[str, Family]] = {}
        self._gone: dict[str, Family] = {}

    def take(self, worker: int, text: str) -> None:
        """This is what it shows."""
        self._latest[worker] = read(text)

    def end(self, worker: int) -> None:
        """It shows nothing any more, and what it counted stays counted."""
        kept = sum(len(family.samples) for family in self._gone.values())
        for name, family in self._latest.pop(worker, {}).items():
            if not family.is_added_up:
                continue
            gone = self._gone.setdefault(name, Family(family.header, is_added_up=True))
            for key, value in family.samples.items():
                if key in gone.samples:
                    gone.samples[key] += value
                elif kept < GONE_LIMIT:
                    kept += 1
                    gone.samples[key] = value

    def render(self) -> str:
        """Every family, in the order in which it first came."""
        families = {**self._gone, **{name: family for each in self._latest.values() for name, family in each.items()}}
        return "".join(
            family.header + "".join(f"{key} {number(value)}\n" for key, value in self._samples(name).items())
            for name, family in families.items()
        )

    def _samples(self, name: str) -> Mapping[str, float]:
        found: dict[str, float] = dict(self._gone[name].samples) if name in self._gone else {}
        for worker, families in self._latest.items():
            family = families.get(name)
            for key, value in family.samples.items() if family is not None else ():
                if family is not None and family.is_added_up:
                    found[key] = found.get(key, 0.0) + value
                else:
                    found[labelled(key, worker)] = value
        return found


def labelled(key: str, worker: int) -> str:
    """A sample's name and labels with the worker's."""
    name, brace, labels = key.partition("{")
    return f'{name}{{worker="{worker}"' + (f",{labels}" if brace else "}")


def read(text: str) -> dict[str, Family]:
    """Families by name, of what `gateway.service.metrics` writes: samples follow their family's header."""
    families: dict[str, Family] = {}
    current = Family("", is_added_up=False)
    for header, name, line in _lines(text):
        if header:
            current = families.setdefault(name, Family("", is_added_up=False))
            current.header += f"{line}\n"
            current.is_added_up = current.is_added_up or (line.startswith("# TYPE") and line.split()[3] in _ADDED_UP)
        else:
            key, _, value = line.rpartition(" ")
            current.samples[key] = float(value)
    return families


def _lines(text: str) -> Iterator[tuple[bool, str, str]]:
    for line in text.splitlines():
        if line.startswith(("# HELP ", "# TYPE ")):
            yield True, line.split(maxsplit=3)[2], line
        elif line and not line.startswith("#"):
            yield False, "", line
