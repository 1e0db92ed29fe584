"""When each worker of a service is started, and started again. Pure: time is an argument, and it starts nothing.

    due ─▶ started ─▶ ready ─▶ ended ─▶ (a pause) ─▶ due

A worker that ends is started again after a pause that doubles while it fails soon after each start. One that ends
before any worker was ever ready is taken for a mistake of the command line: all end.
"""

from dataclasses import dataclass
from typing import Final

from gateway.service import backoff

PAUSE_SECONDS: Final = (0.1, 5.0)
# Who ran for so long did not fail at its start.
STEADY_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Worker:
    due_at: float | None  # None while it runs
    started_at: float = 0.0
    failures: int = 0  # in a row
    restarts: int = 0
    is_ready: bool = False


class Supervision:
    """`count` workers, all due at once."""

    def __init__(self, count: int, now: float) -> None:
        self._workers = [_Worker(now) for _ in range(count)]
        self._was_ready = False
        self.is_stopping = False
        self.is_hopeless = False

    def due(self, now: float) -> tuple[int, ...]:
        """Those to start now."""
        if self.is_stopping:
            return ()
        return tuple(
            index for index, each in enumerate(self._workers) if each.due_at is not None and each.due_at <= now
        )

    def next_due(self) -> float | None:
        """When the next one is to be started; None where none is."""
        times = [each.due_at for each in self._workers if each.due_at is not None]
        return None if self.is_stopping else min(times, default=None)

    def started(self, index: int, now: float) -> None:
        """It runs."""
        self._workers[index].due_at = None
        self._workers[index].started_at = now

    def seen(self, index: int, *, is_ready: bool) -> None:
        """What a look at it gave."""
        self._workers[index].is_ready = is_ready
        self._was_ready = self._was_ready or is_ready

    def ended(self, index: int, now: float) -> float:
        """It ended, or could not be started; the seconds until it is started again."""
        worker = self._workers[index]
        worker.is_ready = False
        worker.failures = 1 if now - worker.started_at >= STEADY_SECONDS else worker.failures + 1
        worker.restarts += 1
        pause = backoff.pause(worker.failures, *PAUSE_SECONDS)
        worker.due_at = now + pause
        if not self._was_ready and not self.is_stopping:
            self.is_hopeless = self.is_stopping = True
        return pause

    def stop(self) -> None:
        """None is started any more."""
        self.is_stopping = True

    @property
    def running(self) -> tuple[int, ...]:
        """Those that run."""
        return tuple(index for index, each in enumerate(self._workers) if each.due_at is None)

    @property
    def ready(self) -> tuple[int, ...]:
        """Those that take requests."""
        return tuple(index for index, each in enumerate(self._workers) if each.is_ready)

    @property
    def restarts(self) -> tuple[int, ...]:
        """How often each was lost."""
        return tuple(each.restarts for each in self._workers)
