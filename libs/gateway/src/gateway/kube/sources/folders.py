"""Folders of manifests as a source: read now, and again whenever a file in them changes.

Shell. inotify (watchfiles) reports at once that something happened; a look at every file's stamp, then and once per
tick, decides whether it matters. So a change is never missed where notifications do not work (network folders, links
to folders elsewhere), and a touched but unchanged file changes nothing.

Files are read and objects compared in a worker thread, in short pieces with a rest after each, so that the loop gets
the interpreter back within milliseconds however much there is to read.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, NamedTuple

from watchfiles import awatch

from gateway.kube.objects import Manifests, ObjectKey, ObjectName
from gateway.kube.resolution.derived import with_derived
from gateway.kube.resolution.endpoints import hostnames
from gateway.kube.resolution.merging import Loaded, changed, held
from gateway.kube.sources.files import FolderReader
from gateway.kube.sources.resolve import Lookup, Resolver, system_lookup
from gateway.kube.sources.rest import Rest
from gateway.kube.sources.source import Snapshot, Statuses
from gateway.schema.problems import Problem
from gateway.service import clock

# An editor or a ConfigMap swap touches several files at once: a reading waits until nothing happened for a moment, or
# until so much time has passed.
QUIET_MILLISECONDS: Final = 10
DEBOUNCE_MILLISECONDS: Final = 50
TICK_SECONDS: Final = 1.0
LOOKING_SHARE: Final = 0.02  # of the time, at most, goes into looks that nothing caused


class FolderSource:
    """Reads folders now and after every change.

    A document with a problem costs its own object; with `is_strict`, everything stays as it was. `services` are some
    whose addresses are wanted although no object names them.
    """

    def __init__(
        self,
        dirs: Sequence[Path],
        *,
        is_strict: bool = False,
        services: Iterable[ObjectName] = (),
        lookup: Lookup = system_lookup,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self._dirs = tuple(dirs)
        self._amount = _all_or_nothing if is_strict else held
        self._services = tuple(services)
        self._lookup = lookup
        self._tick_seconds = tick_seconds

    async def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        """A snapshot now, then one after every change of a file or of a name's addresses. Ends only by cancellation."""
        resolver, rest = Resolver(self._lookup), Rest()
        reader = FolderReader(self._dirs, rest)
        found: _Reading | None = None
        addresses: Mapping[str, tuple[str, ...]] | None = None
        next_look = 0.0
        try:
            async with aclosing(self._stirrings()) as stirrings:
                async for has_stirred in stirrings:
                    news = None
                    if has_stirred or clock.monotonic() >= next_look:
                        news = await asyncio.to_thread(_read, reader, found, self._amount, self._services)
                        next_look = clock.monotonic() + reader.look_seconds / LOOKING_SHARE
                    found = news or found
                    assert found is not None  # the first stirring is one
                    last, addresses = addresses, await resolver.resolve(found.names)
                    if addresses != last or (news is not None and news.is_news):
                        objects = news.changed if news is not None else frozenset()
                        yield Snapshot(found.manifests, addresses, found.problems, found.notes, objects)
        finally:
            rest.end()
            resolver.close()

    async def report(self, _statuses: Statuses, /) -> None:
        """Files hold what their author wrote; status is shown by the control plane's own port instead."""

    async def _stirrings(self) -> AsyncGenerator[bool, None]:
        """True at once and whenever something may have happened, False once per tick without."""
        yield True
        polling: bool | None = None
        while True:
            present = [folder for folder in self._dirs if folder.is_dir()] or [Path()]
            try:
                async for events in awatch(
                    *present,
                    debounce=DEBOUNCE_MILLISECONDS,
                    step=QUIET_MILLISECONDS,
                    rust_timeout=int(self._tick_seconds * 1000),
                    yield_on_timeout=True,
                    force_polling=polling,
                    watch_filter=None,
                ):
                    yield bool(events)
                    if len(present) < len(self._dirs):
                        break  # a folder that was missing may be there by now
            except OSError:
                if polling:
                    raise
                polling = True  # no inotify watch left on this host


_Amount = Callable[[Manifests, Loaded], Manifests]  # what a reading amounts to after the last good objects


class _Reading(NamedTuple):
    """The last good objects with the host names in them, and what the folders hold now."""

    manifests: Manifests
    names: frozenset[str]
    loaded: Loaded
    changed: frozenset[ObjectKey]
    is_news: bool

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.loaded.problems

    @property
    def notes(self) -> tuple[Problem, ...]:
        return self.loaded.notes


def _read(
    reader: FolderReader, last: _Reading | None, amount: _Amount, services: Iterable[ObjectName]
) -> _Reading | None:
    """What a worker thread does at each look; None when nothing has changed."""
    loaded = reader.read()
    if loaded is None:
        return None
    before = last.manifests if last is not None else Manifests()
    manifests = with_derived(amount(before, loaded))
    objects = changed(before, manifests)
    is_news = last is None or bool(objects) or (loaded.problems, loaded.notes) != (last.problems, last.notes)
    return _Reading(manifests, hostnames(manifests, services), loaded, changed=objects, is_news=is_news)


def _all_or_nothing(before: Manifests, loaded: Loaded) -> Manifests:
    return before if loaded.problems else loaded.manifests
