"""Reads the keys file of a router, and again whenever it changes. A shell: a file, a clock, a log.

At the start a file that cannot be used ends the process. Later the clients that were known stay, and the log says why.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from gateway.schema.problems import ProblemsError
from gateway.service import logs
from gateway.tenancy.keys import Keys, read

log = logs.get(__name__)

LOOK_SECONDS: Final = 0.25  # a key that is revoked is refused within a second
MOST_BYTES: Final = 32 * 1024 * 1024
LEAST_SECRET_BYTES: Final = 16

Sleep = Callable[[float], Awaitable[None]]


class KeyFileError(ValueError):
    """The file cannot be used. The message has no key in it."""


def load(path: Path) -> Keys:
    """The clients of a file, or KeyFileError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise KeyFileError(f"{path}: larger than {MOST_BYTES} bytes")
        return read(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{path}: not UTF-8 at byte {error.start}") from None
    except ProblemsError as error:
        raise KeyFileError(str(error)) from None


def salt_secret(path: Path) -> bytes:
    """The secret that salts are made with, or KeyFileError."""
    try:
        found = path.read_bytes().strip()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    if len(found) < LEAST_SECRET_BYTES:
        raise KeyFileError(f"{path}: expected at least {LEAST_SECRET_BYTES} random bytes, got {len(found)}")
    return found


class KeyFile:
    """One file. `keys` is what it held when it was last good; `run` follows it."""

    def __init__(self, path: Path, sleep: Sleep = asyncio.sleep) -> None:
        self._path = path
        self._sleep = sleep
        self._seen = _stamp(path)
        self.keys = load(path)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._sleep(LOOK_SECONDS)
            seen = _stamp(self._path)
            if seen == self._seen:
                continue
            self._seen = seen
            try:
                self.keys = await asyncio.to_thread(load, self._path)
                log.info("keys read", clients=len(self.keys.by_digest))
            except KeyFileError as error:
                log.error("the keys file is wrong; its clients stay as they were", error=str(error))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
