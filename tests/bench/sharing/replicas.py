"""Several replicas of the picker over simulated engines in virtual time: what each publishes the others know a while
later, or never. Requests go to replicas in turns, as Envoy's round robin has it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from random import Random
from statistics import fmean
from typing import Final, NamedTuple

from epp.config import default_config
from epp.datalayer.producers.other_run import HEARTBEAT_SECONDS
from epp.domain import SharedEvent
from lab.simulation.fleet import Fleet, engine_config
from lab.simulation.measures import Measures, measure
from lab.simulation.policies import Failure, Pointsman, Waits
from lab.workloads.conversations import Call, call_of
from lab.workloads.wider import WIDER
from model_sim import profiles
from model_sim.engine.engine import Snapshot
from model_sim.engine.profile import EngineConfig
from model_sim.engine.request import Completion
from tests.bench.policies import PROFILE

# From one replica to another: the bound at p50 of the journals' lag on one host.
DELAY_SECONDS: Final = 0.004
ENGINES: Final = 8
WARM, SPAN = 20.0, 20.0
SEEDS: Final = (71, 72, 73)
# Requests a second: about 80 % of what eight engines serve of each.
BURST: Final = 200
RATES: Final = {"chat": 44.0, "agents": 8.0, "rag": 26.0}
_IDLE: Final = Snapshot(0, 0, 0, 0.0, 0, 0, (), (), False)


class Outgoing:
    """What one replica published and nobody took yet."""

    def __init__(self) -> None:
        self.events: list[SharedEvent] = []

    def publish(self, events: Iterable[SharedEvent]) -> None:
        self.events += events

    def take(self) -> Sequence[SharedEvent]:
        taken, self.events = self.events, []
        return taken


class Replicas:
    """A policy of the lab: `count` pickers that are asked in turns."""

    def __init__(self, count: int, engine: EngineConfig, seed: int, *, shares: bool) -> None:
        self._outgoing = [Outgoing() for _ in range(count)]
        self._replicas = [
            Pointsman(default_config(), ENGINES, engine, Random(f"{seed} {number}"), replica=f"r{number}",
                      journal=self._outgoing[number] if shares else None)
            for number in range(count)
        ]  # fmt: skip
        self._coming: deque[tuple[float, int, Sequence[SharedEvent]]] = deque()
        self._of_call: dict[str, Pointsman] = {}
        self._turns = cycle(self._replicas)
        self._beat_at = 0.0

    def choose(self, call: Call, now: float) -> int | Waits | None:
        self._deliver(now)
        replica = self._of_call[call.id] = next(self._turns)
        chosen = replica.choose(call, now)
        self._collect(now)
        return chosen

    def decided(self) -> Sequence[tuple[str, int | None]]:
        return [found for replica in self._replicas for found in replica.decided()]

    def ended(self, call_id: str, engine: int, now: float) -> None:
        self._deliver(now)
        self._of_call[call_id].ended(call_id, engine, now)
        self._collect(now)

    def reported(self, call_id: str, engine: int, done: Completion, now: float) -> None:
        self._of_call.pop(call_id).reported(call_id, engine, done, now)
        self._collect(now)

    def alive(self, call_id: str, ttft: float | None, seconds: float, tokens: int, now: float) -> None:
        self._of_call[call_id].alive(call_id, ttft, seconds, tokens, now)
        self._collect(now)

    def failed(self, call_id: str, engine: int, failure: Failure, now: float) -> None:
        self._of_call.pop(call_id).failed(call_id, engine, failure, now)
        self._collect(now)

    def scraped(self, engine: int, snapshot: Snapshot, now: float, computed_tokens: float) -> None:
        self._deliver(now)
        for replica in self._replicas:
            replica.scraped(engine, snapshot, now, computed_tokens)

    def scrape_interval(self, engine: int, now: float) -> float | None:
        return self._replicas[0].scrape_interval(engine, now)

    def tick(self, now: float) -> None:
        for replica in self._replicas:
            replica.tick(now)

    def present(self, engines: frozenset[int], now: float) -> None:
        for replica in self._replicas:
            replica.present(engines, now)

    def _collect(self, now: float) -> None:
        for number, outgoing in enumerate(self._outgoing):
            if outgoing.events:
                self._coming.append((now + DELAY_SECONDS, number, outgoing.take()))

    def _deliver(self, now: float) -> None:
        if now >= self._beat_at:
            self._beat_at = now + HEARTBEAT_SECONDS
            for replica in self._replicas:
                replica.picker.beat(now)
            self._collect(now)
        while self._coming and self._coming[0][0] <= now:
            _, sender, events = self._coming.popleft()
            for number, replica in enumerate(self._replicas):
                for event in events if number != sender else ():
                    replica.picker.apply(event, now)


class Setting(NamedTuple):
    workload: str
    replicas: int
    shares: bool
    seed: int


def run(setting: Setting) -> Measures:
    """One workload with so many replicas."""
    profile, workload = profiles.load(PROFILE), WIDER[setting.workload]
    engine = engine_config(profile, workload)
    policy = Replicas(setting.replicas, engine, setting.seed, shares=setting.shares)
    fleet = Fleet([profile.latency] * ENGINES, engine, policy, setting.seed)
    conversations = workload.conversations(RATES[setting.workload], WARM + SPAN, setting.seed)
    return measure(fleet.run(conversations, WARM + SPAN), WARM, WARM + SPAN, ENGINES)


def rows() -> Iterator[tuple[str, str]]:
    """`workload, replicas`, and the figures for people."""
    for workload in RATES:
        for count, shares in ((1, False), (2, False), (4, False), (2, True), (4, True)):
            found = [run(Setting(workload, count, shares, seed)) for seed in SEEDS]
            hits, p90 = fmean(each.hit_ratio for each in found), fmean(each.ttft_p90 for each in found)
            name = "alone" if count == 1 else "sharing" if shares else "not sharing"
            yield f"{workload}, {count} {name}", f"hits {hits:.3f}, TTFT p90 {1000 * p90:.0f} ms"


def burst(count: int) -> float:
    """Max over mean of `BURST` first requests within 20 ms over eight idle endpoints."""
    profile, workload = profiles.load(PROFILE), WIDER["chat"]
    policy = Replicas(count, engine_config(profile, workload), 1, shares=count > 1)
    for number in range(ENGINES):
        policy.scraped(number, _IDLE, 1.0, 0.0)
    counts = [0] * ENGINES
    held = workload.conversations(1000.0, 1.0, 1)
    for number, conversation in enumerate(islice(held, BURST)):
        chosen = policy.choose(call_of(conversation, conversation.first, 16), 1.01 + number * 1e-4)
        assert isinstance(chosen, int)
        counts[chosen] += 1
    return max(counts) * ENGINES / BURST
