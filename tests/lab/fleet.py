"""Engines in virtual time behind one policy: an event loop without a clock. Pure: same input, same records.

A decision, the network and a scrape take no time; the access log comes REPORT_DELAY after an answer ended. Engines
are stepped in the order of their events, so that a policy hears of every end before the next arrival.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from random import Random

from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import Completion
from model_sim.profiles import Profile
from tests.lab.measures import Record
from tests.lab.policies import Policy
from tests.lab.workloads import Call, Conversation, Workload, call_of

REPORT_DELAY = 0.01
"""Envoy's access log is flushed this often."""
TICK = 1.0
PATIENCE = 60.0
"""After the last arrival the fleet has this long to finish; a run that needs more is far beyond saturation."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A conversation's turn is due."""

    conversation: Conversation
    turn: int


@dataclass(frozen=True, slots=True)
class Report:
    """An access log entry is due."""

    call_id: str
    engine: int
    done: Completion


@dataclass(frozen=True, slots=True)
class Scrape:
    """An engine's metrics are read."""

    engine: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A second went by."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """A call that an engine has."""

    conversation: Conversation
    turn: int
    call: Call
    arrival: float


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on these engines are there, by number. One that comes has an empty cache; one that goes finishes what
    it has."""

    at: float
    present: frozenset[int]


Event = Arrival | Report | Scrape | Tick | Change


def engine_config(profile: Profile, workload: Workload) -> EngineConfig:
    """The profile's sizes with the workload's adapter slots."""
    slots = EngineConfig(max_loras=workload.max_loras, max_cpu_loras=workload.max_cpu_loras)
    sizes = {key: value for key, value in profile.engine.items() if key != "max_model_len"}
    return replace(slots, **sizes)  # type: ignore[arg-type]  # the profile's keys are those of numbers only


class Fleet:
    """Engines, each with its latencies, one policy, one run."""

    def __init__(self, latencies: Sequence[LatencyProfile], config: EngineConfig, policy: Policy, seed: int) -> None:
        self._latencies = latencies
        self._config = config
        self._policy = policy
        self._seed = seed
        self._engines = [self._engine(at) for at in range(len(latencies))]
        self._present = frozenset(range(len(latencies)))
        self._due = [inf] * len(latencies)
        self._events: list[tuple[float, int, Event]] = []
        self._order = count()
        self._flights: dict[str, _Flight] = {}
        self._records: list[Record] = []
        self._pending = 0
        self._until = 0.0

    def run(self, conversations: Iterator[Conversation], until: float, changes: Sequence[Change] = ()) -> list[Record]:
        """Serve what arrives before `until`, then let what is in flight end. A change at 0 says who is there first."""
        self._until = until
        for change in changes:
            if change.at:
                self._at(change.at, change)
            else:
                self._present = change.present
        self._start_clocks()
        self._arrive(conversations)
        while self._pending:
            at = self._events[0][0]
            step_at = min(self._due)
            if min(at, step_at) > until + PATIENCE:
                break
            if step_at <= at:
                self._step(self._due.index(step_at), step_at)
                continue
            _, _, event = heapq.heappop(self._events)
            self._dispatch(event, at, conversations)
        self._give_up()
        return self._records

    def _engine(self, number: int) -> Engine:
        return Engine(self._config, self._latencies[number], Random(f"engine {self._seed} {number}"))

    def _start_clocks(self) -> None:
        engines = len(self._engines)
        if len(self._present) < engines:
            self._policy.present(self._present, 0.0)
        for engine in sorted(self._present):
            if self._policy.scrape_interval(engine, 0.0) is not None:
                self._policy.scraped(engine, self._engines[engine].snapshot(), 0.0)
                self._at(0.05 * engine / engines, Scrape(engine))  # scrapes are not in step with each other
        self._at(TICK, Tick())

    def _at(self, time: float, event: Event) -> None:
        heapq.heappush(self._events, (time, next(self._order), event))

    def _arrive(self, conversations: Iterator[Conversation]) -> None:
        """Let the next conversation begin at its time; only one is in the heap, whatever their number."""
        conversation = next(conversations, None)
        if conversation is not None:
            self._expect(conversation, conversation.first, conversation.start)

    def _expect(self, conversation: Conversation, turn: int, at: float) -> None:
        if at < self._until:
            self._pending += 1
            self._at(at, Arrival(conversation, turn))

    def _dispatch(self, event: Event, now: float, conversations: Iterator[Conversation]) -> None:
        match event:
            case Arrival(conversation, turn):
                if turn == conversation.first:
                    self._arrive(conversations)
                self._send(conversation, turn, now)
            case Report(call_id, engine, done):
                self._policy.reported(call_id, engine, done, now)
            case Change():
                self._change(event, now)
            case Scrape(engine) if engine in self._present:
                self._policy.scraped(engine, self._engines[engine].snapshot(), now)
                interval = self._policy.scrape_interval(engine, now)
                if interval is not None:
                    self._at(now + interval, event)
            case Tick():
                self._policy.tick(now)
                self._at(now + TICK, event)

    def _change(self, change: Change, now: float) -> None:
        came, self._present = change.present - self._present, change.present
        for number in sorted(came):  # what still runs there from before is given up: changes are further apart
            self._engines[number], self._due[number] = self._engine(number), inf
        self._policy.present(change.present, now)
        for number in sorted(came):
            self._at(now, Scrape(number))

    def _send(self, conversation: Conversation, turn: int, now: float) -> None:
        call = call_of(conversation, turn, self._config.block_size)
        chosen = self._policy.choose(call, now)
        if chosen is None:
            self._pending -= 1
            self._records.append(_lost(call, now, None))
            return
        self._flights[call.id] = _Flight(conversation, turn, call, now)
        engine = self._engines[chosen]
        engine.submit(call.request, now)
        self._due[chosen] = _next(engine)

    def _step(self, number: int, now: float) -> None:
        engine = self._engines[number]
        for output in engine.step(now):
            if output.completion is not None:
                self._end(output.request_id, number, output.completion, now)
        self._due[number] = _next(engine)

    def _end(self, call_id: str, engine: int, done: Completion, now: float) -> None:
        flight = self._flights.pop(call_id)
        self._pending -= 1
        self._policy.ended(call_id, engine, now)
        self._at(now + REPORT_DELAY, Report(call_id, engine, done))
        gaps = max(1, done.output_tokens - 1)
        self._records.append(
            Record(
                flight.arrival,
                engine,
                done.first_token - flight.arrival,
                (done.finished - done.first_token) / gaps,
                done.prompt_tokens,
                done.cached_tokens,
            )
        )
        turn, turns = flight.turn + 1, flight.conversation.turns
        if turn < len(turns):
            self._expect(flight.conversation, turn, now + turns[turn].pause)

    def _give_up(self) -> None:
        self._records += [_lost(flight.call, flight.arrival, None) for flight in self._flights.values()]


def _lost(call: Call, arrival: float, endpoint: int | None) -> Record:
    return Record(arrival, endpoint, inf, inf, call.request.prompt_tokens, 0)


def _next(engine: Engine) -> float:
    event = engine.next_event()
    return inf if event is None else event
