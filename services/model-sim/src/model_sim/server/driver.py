"""Drives engines in real time: one timer for the earliest next event, and outputs to their receivers.

Deadlines are absolute, so a late wake-up delays one token and not those after it. The engine's time is the monotonic
clock; uvloop's own time is the same clock in whole milliseconds. Everything runs on one event loop; nothing awaits.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gateway.service import clock
from model_sim.engine.cache import CacheListener
from model_sim.engine.engine import Engine
from model_sim.engine.request import Output, Request

TIMER_RESOLUTION = 0.0005
"""Timers of the event loop round to milliseconds: a step due within half of one is done, not waited for."""


class Receiver(Protocol):
    """Takes the outputs of the requests of one HTTP exchange."""

    def receive(self, output: Output) -> None: ...

    def flush(self) -> None:
        """All outputs of this moment have been received."""
        ...


class CachePublisher(CacheListener, Protocol):
    """Receives the changes of an engine's cache and publishes them in batches."""

    def flush(self) -> None: ...


class Driver:
    """The engines of one server (one per data-parallel rank) and the requests in them."""

    def __init__(self, engines: Sequence[Engine], publishers: Sequence[CachePublisher] = ()) -> None:
        self.engines = tuple(engines)
        self._publishers = tuple(publishers)
        self._receivers: dict[str, tuple[Receiver, Engine]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        return len(self._receivers)

    def choose(self) -> Engine:
        """The least loaded engine, waiting requests counting four times, as vLLM's own balancer weighs them."""
        if len(self.engines) == 1:
            return self.engines[0]
        loads = [(snapshot.waiting * 4 + snapshot.running) for snapshot in (e.snapshot() for e in self.engines)]
        return self.engines[loads.index(min(loads))]

    def submit(self, request: Request, engine: Engine, receiver: Receiver) -> None:
        """Queue a request; its outputs go to the receiver until it is complete or aborted."""
        engine.submit(request, clock.monotonic())
        self._receivers[request.id] = (receiver, engine)
        self._arm()

    def abort(self, request_id: str) -> None:
        """Give up a request that is not complete; its outputs are dropped."""
        found = self._receivers.pop(request_id, None)
        if found is not None:
            found[1].abort(request_id, clock.monotonic())
            self._arm()

    def wake(self) -> None:
        """Set the timer anew after a change of the engines from outside."""
        for publisher in self._publishers:
            publisher.flush()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due: float | None = None
        for engine in self.engines:
            event = 0.0 if engine.has_outputs else engine.next_event()
            if event is not None and (due is None or event < due):
                due = event
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = clock.monotonic() + TIMER_RESOLUTION
        touched: dict[int, Receiver] = {}
        receivers = self._receivers
        for engine in self.engines:
            for output in engine.step(now):
                found = receivers.get(output.request_id)
                if found is None:
                    continue
                receiver = found[0]
                receiver.receive(output)
                touched[id(receiver)] = receiver
                if output.completion is not None:
                    del receivers[output.request_id]
        for receiver in touched.values():
            receiver.flush()
        for publisher in self._publishers:
            publisher.flush()
        self._arm()
