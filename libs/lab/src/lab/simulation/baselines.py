"""What proxies do without a picker, as policies of the lab: round robin and least request. Pure.

Round robin takes turns. Least request takes the endpoint with the fewest requests in flight, by a full scan, ties by
lot: stronger than Envoy's default of comparing two random ones. Neither sees a prompt or a metric.
"""

from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Protocol

from lab.simulation.policies import Failure, Policy
from lab.workloads.conversations import Call
from model_sim.engine.engine import Snapshot
from model_sim.engine.request import Completion


def round_robin(engines: int) -> Policy:
    """Takes turns."""
    return Balanced(RoundRobin(engines))


def least_request(engines: int, random: Random, weights: Sequence[float] = ()) -> Policy:
    """Takes the one with the fewest requests in flight, for its weight where weights are given."""
    return Balanced(LeastRequest(engines, random, weights))


class Balancer(Protocol):
    """Chooses among engines by what it sent them itself."""

    def choose(self) -> int:
        """The engine for one more request."""

    def over(self, engine: int) -> None:
        """A request ended there, one way or another."""

    def present(self, engines: frozenset[int]) -> None:
        """These are there from now on, and no others."""


class RoundRobin:
    """Takes turns."""

    def __init__(self, engines: int) -> None:
        self._turns = count()
        self._present: list[int] = [*range(engines)]

    def choose(self) -> int:
        """The next one."""
        return self._present[next(self._turns) % len(self._present)]

    def over(self, engine: int) -> None:
        """Does not matter."""

    def present(self, engines: frozenset[int]) -> None:
        """Turns go round these."""
        self._present = sorted(engines)


class LeastRequest:
    """Takes one of the least busy, by lot."""

    def __init__(self, engines: int, random: Random, weights: Sequence[float] = ()) -> None:
        self._in_flight = [0] * engines
        self._weights = weights or [1.0] * engines
        self._present: list[int] = [*range(engines)]
        self._random = random

    def choose(self) -> int:
        """One of the least busy."""
        loads = {at: (self._in_flight[at] + 1) / self._weights[at] for at in self._present}
        least = min(loads.values())
        engine = self._random.choice([at for at, load in loads.items() if load == least])
        self._in_flight[engine] += 1
        return engine

    def over(self, engine: int) -> None:
        """One less."""
        self._in_flight[engine] -= 1

    def present(self, engines: frozenset[int]) -> None:
        """Counts go on."""
        self._present = sorted(engines)


class Balanced:
    """A balancer as a policy: nothing waits, nothing is scraped, and no report teaches it anything."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    def choose(self, call: Call, now: float) -> int | None:
        """As the balancer does, whatever is asked."""
        return self._balancer.choose()

    def decided(self) -> Sequence[tuple[str, int | None]]:
        """Nobody waits."""
        return ()

    def present(self, engines: frozenset[int], now: float) -> None:
        """The balancer knows them."""
        self._balancer.present(engines)

    def ended(self, call_id: str, engine: int, now: float) -> None:
        """Over."""
        self._balancer.over(engine)

    def failed(self, call_id: str, engine: int, failure: Failure, now: float) -> None:
        """Over, too."""
        self._balancer.over(engine)

    def reported(self, call_id: str, engine: int, done: Completion, now: float) -> None:
        """Known already."""

    def alive(self, call_id: str, ttft: float | None, seconds: float, tokens: int, now: float) -> None:
        """Does not matter."""

    def scraped(self, engine: int, snapshot: Snapshot, now: float, computed_tokens: float) -> None:
        """Does not happen."""

    def scrape_interval(self, engine: int, now: float) -> float | None:
        """Never."""
        return None

    def tick(self, now: float) -> None:
        """Does not matter."""
