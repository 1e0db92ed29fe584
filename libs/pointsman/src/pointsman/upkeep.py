"""What a running stack looks after on its own host, once a second on a thread: leases that ended, and the access log.

Envoy opens the log for appending and never shortens it; here it is cut where it has become too long.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from pointsman import lease
from processes.plan import Layout

INTERVAL_SECONDS: Final = 1.0
LOG_LIMIT: Final = 64 * 1024 * 1024  # bytes; some 80 000 requests


class Upkeep:
    """Runs from its entry to its exit. What earlier runs left is withdrawn before the body begins."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def __enter__(self) -> None:
        lease.withdraw(self._layout.run)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            with suppress(OSError):  # a full disk may have room again
                lease.withdraw(self._layout.run)
                bound(self._layout.access_log, LOG_LIMIT)


def bound(log: Path, limit: int) -> None:
    """Begin a log anew that has more bytes than the limit."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > limit:
            os.truncate(log, 0)
