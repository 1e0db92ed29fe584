"""What is to be done at one server, and when a thing that failed is tried again. Pure; time is an argument."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.service import backoff
from pointsman.adapters.config import Adapter, Config

FIRST_WAIT_SECONDS: Final = 2.0  # after a failed step; each further failure doubles it
LONGEST_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """One item of a server's model list. An adapter has a parent; `root` is where its weights are."""

    name: str
    root: str
    parent: str


@dataclass(frozen=True, slots=True)
class Step:
    """`adapter` is None to unload a name; to `replace` is to unload it first."""

    name: str
    adapter: Adapter | None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Steps:
    """`unknown` are adapters that the file says nothing of; `impossible` says why one cannot be had there."""

    steps: tuple[Step, ...]
    unknown: tuple[str, ...]
    impossible: Mapping[str, str]


def steps_for(config: Config, served: Sequence[Served], *, prunes: bool) -> Steps:
    """From what a server serves to what it shall."""
    adapters = {each.name: each for each in served if each.parent}
    bases = {name for each in served if not each.parent for name in (each.name, each.root)}
    impossible = {
        adapter.id: f"it is an adapter of {adapter.base_model}, which is not served there"
        for adapter in config.exist
        if adapter.base_model and adapter.base_model not in bases
    }
    steps = [Step(name, None) for name in sorted(config.absent & adapters.keys())]
    for adapter in config.exist:
        there = adapters.get(adapter.id)
        if adapter.id not in impossible and (there is None or there.root != adapter.source):
            steps.append(Step(adapter.id, adapter, replace=there is not None))
    unknown = tuple(sorted(adapters.keys() - {adapter.id for adapter in config.exist} - config.absent))
    if prunes:
        steps += [Step(name, None) for name in unknown]
    return Steps(tuple(steps), () if prunes else unknown, impossible)


@dataclass(frozen=True, slots=True)
class Failures:
    """How often each name failed in a row, and until when it is left alone. Replaced whole."""

    counts: Mapping[str, int] = field(default_factory=dict)
    until: Mapping[str, float] = field(default_factory=dict)

    def allows(self, name: str, now: float) -> bool:
        return self.until.get(name, now) <= now

    def with_failure(self, name: str, now: float) -> "Failures":
        count = self.counts.get(name, 0) + 1
        wait = backoff.pause(count, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        return Failures({**self.counts, name: count}, {**self.until, name: now + wait})

    def without(self, names: Iterable[str]) -> "Failures":
        gone = frozenset(names)
        return Failures(
            {name: count for name, count in self.counts.items() if name not in gone},
            {name: until for name, until in self.until.items() if name not in gone},
        )
