"""Writes what was served, beside the picker. A shell: its job wakes twice a second, and a thread hashes and writes.

A disk that is full or gone costs lines and nothing else: it is logged once for each change, and counted.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from epp.picking.observer import PickObserver
from epp.recording.file import RecordingFile
from epp.recording.line import line_of
from epp.recording.served import Served, ServedRequests
from gateway.service import logs
from gateway.service.metrics import Registry

log = logs.get(__name__)

INTERVAL_SECONDS = 0.5
# Of one turn of the thread, some 5 ms: the loop gets the interpreter in between.
BATCH = 100
RECORDED = "pointsman_epp_recorded_requests_total"
_HELP = "Served requests by what became of their line in the recording."


@dataclass(frozen=True, slots=True)
class Recording:
    """Where to record to: the bytes of one file, of which there are two at most, and the key of the hashes."""

    path: Path
    limit: int
    key: bytes


class Recorder:
    """Give `served` to the picker as its observer, and run `run`. `OSError` if the file cannot be opened."""

    def __init__(self, recording: Recording, observer: PickObserver, registry: Registry, started_at: float) -> None:
        self._file = RecordingFile(recording.path, recording.limit)
        self._key = recording.key
        self._started_at = started_at
        self._lines = registry.counter(RECORDED, _HELP, ("outcome",))
        self._fails = False
        self.served = ServedRequests(observer)

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        try:
            while True:
                await asyncio.sleep(INTERVAL_SECONDS)
                await self._write_all()
        finally:
            while batch := self.served.take(BATCH):
                self._written(len(batch), self._write(batch))
            self._file.close()

    async def _write_all(self) -> None:
        if self.served.dropped:
            self._lines.add(("dropped",), self.served.dropped)
            self.served.dropped = 0
        while batch := self.served.take(BATCH):
            self._written(len(batch), await asyncio.to_thread(self._write, batch))

    def _write(self, batch: list[Served]) -> OSError | None:
        lines = [line_of(served, self._started_at, self._key) for served in batch]
        try:
            self._file.write(b"".join(lines))
        except OSError as error:
            return error
        return None

    def _written(self, lines: int, error: OSError | None) -> None:
        self._lines.add(("written",) if error is None else ("failed",), lines)
        if error is not None and not self._fails:
            log.warning("recording fails; picking goes on without it", reason=error.strerror or str(error))
        elif error is None and self._fails:
            log.info("recording again")
        self._fails = error is not None
