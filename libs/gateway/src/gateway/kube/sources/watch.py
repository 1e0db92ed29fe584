"""Folders of manifests, read again whenever a file in them changes.

Shell. inotify (watchfiles) says at once that something happened; a fingerprint of all files, taken then and once per
tick, says whether it matters. So a change is never missed where notifications do not work (network folders, links to
folders elsewhere), and a touched but unchanged file reloads nothing.
"""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

from watchfiles import awatch

from gateway.kube.sources.load import Loaded, files, load

DEBOUNCE_MILLISECONDS: Final = 50  # an editor or a ConfigMap swap touches several files at once
TICK_SECONDS: Final = 1.0


class ManifestSource:
    """Reads folders now and after every change."""

    def __init__(self, dirs: Sequence[Path], *, tick_seconds: float = TICK_SECONDS) -> None:
        self._dirs = tuple(dirs)
        self._tick_seconds = tick_seconds

    async def changes(self) -> AsyncGenerator[Loaded, None]:
        """The manifests now, then after every change. What to do with problems, the caller decides."""
        async for loaded in self.ticks():
            if loaded is not None:
                yield loaded

    async def ticks(self) -> AsyncGenerator[Loaded | None, None]:
        """Like `changes`, and None whenever a tick passed without one."""
        seen = self._fingerprint()
        yield load(self._dirs)
        async for _ in self._stirrings():
            now = self._fingerprint()
            changed = now != seen
            seen = now
            yield load(self._dirs) if changed else None

    async def _stirrings(self) -> AsyncGenerator[None, None]:
        """Something may have happened: at least once per tick."""
        polling: bool | None = None
        while True:
            present = [folder for folder in self._dirs if folder.is_dir()] or [Path()]
            try:
                async for _ in awatch(
                    *present,
                    debounce=DEBOUNCE_MILLISECONDS,
                    step=DEBOUNCE_MILLISECONDS // 2,
                    rust_timeout=int(self._tick_seconds * 1000),
                    yield_on_timeout=True,
                    force_polling=polling,
                    watch_filter=None,
                ):
                    yield None
                    if len(present) < len(self._dirs):
                        break  # a folder that was missing may be there by now
            except OSError:
                if polling:
                    raise
                polling = True  # no inotify watch left on this host

    def _fingerprint(self) -> bytes:
        """Changes with any file's name, identity, size or time of change."""
        digest = hashlib.blake2b(digest_size=16)
        for folder in self._dirs:
            digest.update(b"\0")
            for path in files(folder):
                try:
                    stat = path.stat()
                except OSError:
                    continue
                digest.update(f"{path}\n{stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n".encode())
        return digest.digest()
