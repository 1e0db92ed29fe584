"""The recording on disk: one file, and the one before it as FILE.1. Blocking I/O, for threads."""

import contextlib
import os
from pathlib import Path
from threading import Lock
from typing import Final

_PRIVATE: Final = 0o600  # lengths, times and models are nobody else's
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class RecordingFile:
    """Appends whole lines. A full file takes the place of the one before, so that two are the most there is."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._lock = Lock()
        self._descriptor = os.open(path, _FLAGS, _PRIVATE)

    def write(self, lines: bytes) -> None:
        """Append all of it or nothing; `OSError` when the disk does not take it."""
        with self._lock:
            size = os.fstat(self._descriptor).st_size
            if size and size + len(lines) > self._limit:
                self._rotate()
                size = 0
            try:
                _write_all(self._descriptor, lines)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, size)
                raise

    def close(self) -> None:
        """Nothing more comes."""
        with self._lock:
            os.close(self._descriptor)

    def _rotate(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # somebody took it away: a new one is due all the same
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        fresh = os.open(self._path, _FLAGS, _PRIVATE)
        os.close(self._descriptor)
        self._descriptor = fresh


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
