"""Engines in virtual time behind one policy: an event loop without a clock. Pure: same input, same records.

A decision, the network and a scrape take no time; the access log comes REPORT_DELAY after an answer ended. Engines
are stepped in the order of their events, so that a policy hears of every end before the next arrival.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from random import Random

from lab.simulation.measures import Record
from lab.simulation.policies import Failure, Policy, Waits
from lab.simulation.sickness import DRIP_SECONDS, HEALTHY, Sickness
from lab.workloads.conversations import Call, Conversation, Workload, call_of
from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig, LatencyProfile
from model_sim.engine.request import Completion
from model_sim.profiles import Profile

REPORT_DELAY = 0.01
"""Envoy's access log is flushed this often."""
TICK = 1.0
BEAT = 10.0
"""Envoy's access log tells of each live request this often."""
CLIENT_PATIENCE = 20.0
"""A client that gets no first byte leaves after this."""
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
class Beat:
    """The access log's heartbeat of a call is due; an answer that has begun did so after this time."""

    call_id: str
    ttft: float | None


@dataclass(frozen=True, slots=True)
class Finish:
    """The last token of a slow answer is due."""

    call_id: str
    done: Completion


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The client of a call that is not answered leaves."""

    call_id: str


@dataclass(frozen=True, slots=True)
class _Flight:
    """A call that an engine has."""

    conversation: Conversation
    turn: int
    call: Call
    engine: int
    arrival: float


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on these engines are there, by number. One that comes has an empty cache; one that goes finishes what
    it has."""

    at: float
    present: frozenset[int]


Event = Arrival | Report | Scrape | Tick | Change | Beat | Finish | GiveUp


def engine_config(profile: Profile, workload: Workload) -> EngineConfig:
    """The profile's sizes with the workload's adapter slots."""
    slots = EngineConfig(max_loras=workload.max_loras, max_cpu_loras=workload.max_cpu_loras)
    sizes = {key: value for key, value in profile.engine.items() if key != "max_model_len"}
    return replace(slots, **sizes)  # type: ignore[arg-type]  # the profile's keys are those of numbers only


class Fleet:
    """Engines, each with its latencies, one policy, one run. Engine 0 may be sick for a while."""

    def __init__(
        self,
        latencies: Sequence[LatencyProfile],
        config: EngineConfig,
        policy: Policy,
        seed: int,
        *,
        sickness: Sickness = HEALTHY,
        each_second: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._latencies = latencies
        self._each_second = each_second
        self._sickness = sickness
        self._config = config
        self._policy = policy
        self._seed = seed
        self._engines = [self._engine(at) for at in range(len(latencies))]
        self._present = frozenset(range(len(latencies)))
        self._due = [inf] * len(latencies)
        self._steps: list[tuple[float, int]] = []  # a heap of when engines are due; what `_due` does not say is void
        self._events: list[tuple[float, int, Event]] = []
        self._order = count()
        self._flights: dict[str, _Flight] = {}
        self._waiting: dict[str, _Flight] = {}  # for a verdict
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
            step_at, number = self._next_step()
            if min(at, step_at) > until + PATIENCE:
                break
            if step_at <= at:
                heapq.heappop(self._steps)
                self._step(number, step_at)
            else:
                _, _, event = heapq.heappop(self._events)
                self._dispatch(event, at, conversations)
            self._start_decided(min(at, step_at))
        self._give_up()
        return self._records

    def adapter_loads(self) -> tuple[int, int]:
        """Loads of adapters onto the GPUs of the engines that are there, and those of them that came from disk."""
        slots = [engine.adapters for engine in self._engines]
        return sum(each.loads for each in slots), sum(each.disk_loads for each in slots)

    def _next_step(self) -> tuple[float, int]:
        """When which engine is due next."""
        steps, due = self._steps, self._due
        while steps and due[steps[0][1]] != steps[0][0]:
            heapq.heappop(steps)
        return steps[0] if steps else (inf, -1)

    def _expect_step(self, number: int) -> None:
        at = _next(self._engines[number])
        if at != self._due[number]:
            self._due[number] = at
            if at < inf:
                heapq.heappush(self._steps, (at, number))

    def _engine(self, number: int) -> Engine:
        return Engine(self._config, self._latencies[number], Random(f"engine {self._seed} {number}"))

    def _start_clocks(self) -> None:
        engines = len(self._engines)
        if len(self._present) < engines:
            self._policy.present(self._present, 0.0)
        for engine in sorted(self._present):
            if self._policy.scrape_interval(engine, 0.0) is not None:
                self._scrape(engine, 0.0)
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
                self._scrape(engine, now)
                interval = self._policy.scrape_interval(engine, now)
                if interval is not None:
                    self._at(now + interval, event)
            case Beat(call_id, ttft):
                self._beat(event, call_id, ttft, now)
            case Finish(call_id, done):
                self._finish(call_id, done, now)
            case GiveUp(call_id):
                self._fail(call_id, Failure(None, ("downstream_connection_termination",), CLIENT_PATIENCE), now)
            case Tick():
                self._policy.tick(now)
                self._each_second(now)
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
        if isinstance(chosen, Waits):
            self._waiting[call.id] = _Flight(conversation, turn, call, -1, now)
        else:
            self._start(_Flight(conversation, turn, call, -1, now), chosen, now)

    def _start_decided(self, now: float) -> None:
        for call_id, chosen in self._policy.decided():
            self._start(self._waiting.pop(call_id), chosen, now)

    def _start(self, waited: _Flight, chosen: int | None, now: float) -> None:
        call = waited.call
        if chosen is None:
            self._pending -= 1
            self._records.append(_lost(call, waited.arrival, None))
            return
        self._flights[call.id] = replace(waited, engine=chosen)
        if self._sickness.is_on(chosen, now):
            self._meet(call, chosen, now)
        else:
            self._submit(call, chosen, now)

    def _meet(self, call: Call, number: int, now: float) -> None:
        """A request comes to the sick engine."""
        sickness, engine = self._sickness, self._engines[number]
        if sickness.hangs:
            self._at(now + BEAT, Beat(call.id, None))
            self._at(now + CLIENT_PATIENCE, GiveUp(call.id))
        elif sickness.status is not None:
            flags = (sickness.flag,) if sickness.flag else ()
            self._fail(call.id, Failure(sickness.status, flags, 0.0), now)
        else:
            engine.set_speed(sickness.speed)
            self._submit(call, number, now)

    def _submit(self, call: Call, number: int, now: float) -> None:
        if not self._sickness.is_on(number, now):
            self._engines[number].set_speed(1.0)
        self._engines[number].submit(call.request, now)
        self._expect_step(number)

    def _scrape(self, number: int, now: float) -> None:
        engine = self._engines[number]
        self._policy.scraped(number, engine.snapshot(), now, engine.metrics.iteration_tokens.total)

    def _beat(self, event: Beat, call_id: str, ttft: float | None, now: float) -> None:
        flight = self._flights.get(call_id)
        if flight is None:
            return
        seconds = now - flight.arrival
        tokens = 0 if ttft is None else int((seconds - ttft) / DRIP_SECONDS)
        self._policy.alive(call_id, ttft, seconds, tokens, now)
        self._at(now + BEAT, event)

    def _fail(self, call_id: str, failure: Failure, now: float) -> None:
        flight = self._flights.pop(call_id)
        self._pending -= 1
        self._policy.failed(call_id, flight.engine, failure, now)
        self._records.append(_lost(flight.call, flight.arrival, flight.engine))

    def _step(self, number: int, now: float) -> None:
        for output in self._engines[number].step(now):
            if output.completion is None:
                continue
            if self._sickness.drips and self._sickness.is_on(number, now):
                self._drip(output.request_id, output.completion)
            else:
                self._finish(output.request_id, output.completion, now)
        self._due[number] = inf
        self._expect_step(number)

    def _drip(self, call_id: str, done: Completion) -> None:
        """The engine is done; the tokens come one by one."""
        arrival = self._flights[call_id].arrival
        finished = done.first_token + (done.output_tokens - 1) * DRIP_SECONDS
        self._at(arrival + BEAT, Beat(call_id, done.first_token - arrival))
        self._at(finished, Finish(call_id, replace(done, finished=finished)))

    def _finish(self, call_id: str, done: Completion, now: float) -> None:
        flight = self._flights.pop(call_id)
        engine = flight.engine
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
        unfinished = (*self._flights.values(), *self._waiting.values())
        self._records += [_lost(flight.call, flight.arrival, None) for flight in unfinished]


def _lost(call: Call, arrival: float, endpoint: int | None) -> Record:
    return Record(arrival, endpoint, inf, inf, call.request.prompt_tokens, 0)


def _next(engine: Engine) -> float:
    event = engine.next_event()
    return inf if event is None else event
