"""Starts the workers of a service as processes, watches them, and ends them. A shell on asyncio; it decides nothing.

A worker's standard input is a pipe that nothing is written to: it ends with the supervisor, however that ends, and the
worker drains then.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from typing import Final

from gateway.service import logs
from gateway.service.clock import Clock
from gateway.workers.supervision import Supervision

log = logs.get(__name__)

# How soon something that changed without an event is seen.
LOOK_SECONDS: Final = 0.25
# Beyond a worker's own patience for requests in flight; then it is killed.
STOP_SECONDS: Final = 10.0

Ended = Callable[[int], None]


class Processes:
    """`command` of a worker by its index; `ended` is called for each that is gone."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], supervision: Supervision, clock: Clock, ended: Ended
    ) -> None:
        self._command = command
        self._supervision = supervision
        self._clock = clock
        self._ended = ended
        self._running: dict[int, asyncio.subprocess.Process] = {}

    def pid(self, index: int) -> int | None:
        """Of a worker that runs."""
        process = self._running.get(index)
        return None if process is None else process.pid

    async def run(self, stopping: asyncio.Event, drain_seconds: float) -> None:
        """Keep them running until `stopping` is set, or none can be; then let them drain."""
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set() and not self._supervision.is_stopping:
                for index in self._supervision.due(self._clock()):
                    await self._start(index, group)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds_to_next()):
                        await stopping.wait()
            self._supervision.stop()
            self._signal(signal.SIGTERM)
            killing = asyncio.get_running_loop().call_later(drain_seconds + STOP_SECONDS, self._signal, signal.SIGKILL)
        killing.cancel()  # the group has waited for all of them

    def kill(self, index: int) -> None:
        """End one that hangs."""
        process = self._running.get(index)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def _seconds_to_next(self) -> float:
        due_at = self._supervision.next_due()
        return LOOK_SECONDS if due_at is None else min(LOOK_SECONDS, max(0.0, due_at - self._clock()))

    async def _start(self, index: int, group: asyncio.TaskGroup) -> None:
        # A session of its own: Ctrl-C is the supervisor's, which lets workers drain.
        process = await asyncio.create_subprocess_exec(
            *self._command(index), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        self._running[index] = process
        self._supervision.started(index, self._clock())
        log.info("worker started", worker=index, pid=process.pid)
        group.create_task(self._wait(index, process))

    async def _wait(self, index: int, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        del self._running[index]
        self._ended(index)
        was_stopping = self._supervision.is_stopping
        pause = self._supervision.ended(index, self._clock())
        if was_stopping:
            log.info("worker ended", worker=index, status=status)
        elif self._supervision.is_hopeless:
            log.error("a worker ended before any was ready; all end", worker=index, status=status)
        else:
            log.warning("a worker ended and is started again", worker=index, status=status, pause_seconds=pause)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
