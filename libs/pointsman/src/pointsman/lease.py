"""A folder of manifests that one command at a time may write, for as long as it lives.

It is the last of a stack's folders, so what is in it replaces other objects. Its holder has a lock, which goes with the
process: the stack empties the folder once nobody holds it, however the holder ended. I/O.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

_WAIT_SECONDS: Final = 2.0  # the stack holds the lock for a moment each second, to see whether anybody does
_RETRY_SECONDS: Final = 0.05


class HeldError(Exception):
    """Somebody else holds the folder."""


def folder_of(run: Path) -> Path:
    """The folder, which is there as long as the stack runs."""
    return run / "lease"


def withdraw(run: Path) -> None:
    """Make the folder, or empty it, unless somebody holds it."""
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_file(run) as lock:
        if _is_locked(lock):
            _empty(folder)


@contextmanager
def held(run: Path) -> Iterator[Path]:
    """The folder, for the body alone, and empty behind it; `HeldError` if somebody else has it."""
    folder = folder_of(run)
    with _lock_file(run) as lock:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not _is_locked(lock):
            if time.monotonic() > deadline:
                raise HeldError
            time.sleep(_RETRY_SECONDS)
        try:
            yield folder
        finally:
            _empty(folder)


def _lock_file(run: Path) -> IO[str]:
    return (run / "lease.lock").open("a")


def _is_locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink(missing_ok=True)
