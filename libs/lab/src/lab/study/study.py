"""A study: every contender at every point with every seed. Pure; same study, same figures, in whatever order.

For each point and seed all contenders get the same conversations. Caches fill first; what arrives after that is
measured.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Limits, Measures, measure
from lab.study.contenders import Contender, Plugins
from lab.traces.replay import Replay
from lab.workloads.conversations import Conversation, Workload
from lab.workloads.wider import WIDER
from model_sim.profiles import Profile

WARM_SHARE = 0.25
"""Of a trace, while caches fill."""
TAIL_SHARE, TAIL_SECONDS = 0.05, 1.0
"""Of a trace and beyond: for turns that come later than they did because answers took longer."""


class Point(NamedTuple):
    """A load: requests a second, or how often a trace's own rate; and how many servers."""

    rate: float
    servers: int


class Run(NamedTuple):
    """One of a study's, by positions."""

    contender: int
    point: int
    seed: int


@dataclass(frozen=True, slots=True)
class Made:
    """A workload of the lab's, by name; seconds while caches fill, and seconds that are measured."""

    name: str
    warm: float
    span: float

    @property
    def workload(self) -> Workload:
        """It."""
        return WIDER[self.name]

    def window(self, rate: float) -> tuple[float, float]:
        """What is measured at a rate: from, to."""
        del rate
        return self.warm, self.warm + self.span

    def conversations(self, rate: float, until: float, seed: int) -> Iterator[Conversation]:
        """Of one run."""
        return self.workload.conversations(rate, until, seed)


@dataclass(frozen=True, slots=True)
class Traced:
    """A trace, replayed."""

    replay: Replay
    max_loras: int = 1  # adapters that a server runs at once

    @property
    def workload(self) -> Workload:
        """What its servers are started with: their memory has room for all adapters."""
        return Workload(
            "trace", "a trace", self.conversations, self.max_loras, max(self.max_loras, self.replay.adapters)
        )

    def window(self, rate: float) -> tuple[float, float]:
        """What is measured at a rate: from, to."""
        span = self.replay.seconds / rate if self.replay.has_times else self.replay.count / rate
        return WARM_SHARE * span, span * (1 + TAIL_SHARE) + TAIL_SECONDS

    def conversations(self, rate: float, until: float, seed: int) -> Iterator[Conversation]:
        """Of one run."""
        del until
        return self.replay.conversations(rate, seed)


@dataclass(frozen=True, slots=True)
class Study:
    """See the module's docstring."""

    source: Made | Traced
    contenders: tuple[Contender, ...]
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    profile: Profile
    limits: Limits

    def runs(self) -> list[Run]:
        """All of them, the longest first: more servers and higher rates."""
        indexes = range(len(self.points))
        order = sorted(indexes, key=lambda at: (-self.points[at].servers, -self.points[at].rate))
        return [
            Run(contender, point, seed)
            for point in order
            for contender in range(len(self.contenders))
            for seed in self.seeds
        ]

    def measures(self, run: Run, plugins: Plugins) -> Measures:
        """Do one."""
        point = self.points[run.point]
        begin, until = self.source.window(point.rate)
        engine = engine_config(self.profile, self.source.workload)
        policy = self.contenders[run.contender].policy(point.servers, engine, run.seed, plugins)
        fleet = Fleet([self.profile.latency] * point.servers, engine, policy, run.seed)
        records = fleet.run(self.source.conversations(point.rate, until, run.seed), until)
        return measure(records, begin, until, point.servers, self.limits)


Results = Mapping[Run, Measures]
