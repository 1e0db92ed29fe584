"""Serves snapshots to Envoy as files, so that Envoy never follows a reference to something that is not there yet.

Shell: files and time, one writer for each folder. Envoy reads a file when another is renamed onto its path, and says
nothing back. Order and pauses therefore replace acknowledgements (make before break):

    secrets, endpoints ▶ clusters, old and new ▶ pause to warm new ones ▶ routes ▶ listeners ▶ pause ▶ new clusters only

The folder is also what is left of an earlier process: it is read once, when the first snapshot comes, so that a restart
keeps the old clusters until no route leads to them. After that nothing that was written is read again.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import orjson

from controlplane.status.uptake import Refusal, Uptake
from controlplane.xds.figures import NO_FIGURES, Figures, uptake
from controlplane.xds.resources import names
from controlplane.xds.resources.sources import FOLDERS, path
from controlplane.xds.snapshot import Body, Resource, Snapshot, snapshot_of

# The file of all resources of a type; Envoy's bootstrap names both.
WHOLE: Final = {names.CLUSTER_TYPE: "cds.json", names.LISTENER_TYPE: "lds.json"}

# A new cluster serves once its endpoints are read and, for a picker, its first health check is through: 0.5 s to
# connect and 0.5 s to answer at most.
WARM_SECONDS: Final = 1.0
# Envoy's workers take new routes within milliseconds; what is in flight on an old cluster keeps its connection.
RELEASE_SECONDS: Final = 0.5

# Envoy reads a file within milliseconds, and serves at once when it starts. What it took may change later: it goes.
ASK_SECONDS: Final = 0.1
ASK_AGAIN_SECONDS: Final = 2.0

# Private keys are for the owner and the group of the folder's files; whoever runs Envoy must be one of them.
SECRETS: Final = f"{FOLDERS[names.SECRET_TYPE]}/"
CREDENTIALS: Final = (b"ApiKeyAuthPerRoute", b"BasicAuthPerRoute")  # routes with these hold keys of clients
SECRET_MODE: Final = 0o640
FILE_MODE: Final = 0o644

Sleep = Callable[[float], Awaitable[None]]


class Admin(Protocol):
    """An Envoy that can be asked."""

    @property
    def node(self) -> str: ...

    async def figures(self) -> Figures | None: ...

    async def errors(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """Write these files, then pause, then remove these."""

    write: Mapping[str, bytes]
    pause: float = 0.0
    remove: tuple[str, ...] = ()


class FolderServer:
    """Brings one folder from each snapshot to the next."""

    def __init__(self, folder: Path, sleep: Sleep = asyncio.sleep, admin: Admin | None = None) -> None:
        self._folder = folder
        self._admin = admin
        self._sleep = sleep
        self._served: Snapshot | None = None  # None: not known, what the folder holds counts
        self._news = asyncio.Event()

    async def serve(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Write what changed; the names of the files. A call that breaks off leaves a folder that Envoy can use."""
        old = self._served if self._served is not None else restored(self._folder)
        self._served = None
        written: dict[str, None] = {}
        for step in steps(old, snapshot):
            for name, content in step.write.items():
                _replace(self._folder / name, content, _mode(name, content))
                written[name] = None
            if step.pause:
                await self._sleep(step.pause)
            for name in step.remove:
                (self._folder / name).unlink(missing_ok=True)
        self._served = snapshot
        self._news.set()
        return tuple(written)

    async def uptakes(self) -> AsyncIterator[Uptake]:
        """What became of each snapshot: as Envoy says where it can be asked, else that nobody knows. For one reader."""
        latest, good = Uptake(), NO_FIGURES
        pause: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()
            self._news.clear()
            served = self._served
            if served is None:
                continue  # it is being written; the end of that is news
            if self._admin is None:
                yield Uptake(served.version, is_known=False)
                continue
            figures = await self._admin.figures()
            found = uptake(served, self._admin.node, figures, good)
            if found.refusals:
                more = tuple(Refusal(self._admin.node, error) for error in await self._admin.errors())
                found = replace(found, refusals=(*found.refusals, *more))
            elif found.taken and figures is not None:
                good = figures
            if found != latest:
                yield found
            latest = found
            pause = pause_after(found)


def pause_after(found: Uptake) -> float:
    """Seconds until Envoy is asked again: soon while it is not there yet, or has not taken everything."""
    is_settled = bool(found.taken or found.refusals) and not found.waiting
    return ASK_AGAIN_SECONDS if is_settled else ASK_SECONDS


def _mode(name: str, content: bytes) -> int:
    return SECRET_MODE if name.startswith(SECRETS) or any(kind in content for kind in CREDENTIALS) else FILE_MODE


def contents(snapshot: Snapshot) -> dict[str, bytes]:
    """Every file of a snapshot, by its name in the folder."""
    found = {}
    for type_name in FOLDERS:
        found.update(_each(type_name, snapshot.of(type_name)))
    for type_name in WHOLE:
        found.update(_all(type_name, snapshot))
    return found


def steps(old: Snapshot, new: Snapshot) -> tuple[Step, ...]:
    """How to get from one snapshot to the next. Pure; nothing is written that did not change."""
    changes = {type_name: new.changes_since(old, type_name) for type_name in FOLDERS if type_name in new.versions}
    clusters = new.changes_since(old, names.CLUSTER_TYPE)
    written = {type_name: _each(type_name, found.updated) for type_name, found in changes.items()}
    first = written.get(names.SECRET_TYPE, {}) | written[names.ENDPOINTS_TYPE]
    if _differ(old, new, names.CLUSTER_TYPE):
        first.update(_with_old_clusters(old, new, clusters.removed))
    second = written[names.ROUTES_TYPE]
    if _differ(old, new, names.LISTENER_TYPE):
        second.update(_all(names.LISTENER_TYPE, new))
    is_live = names.LISTENER_TYPE in old.versions
    removed = [path(type_name, name) for type_name, found in changes.items() for name in found.removed]
    return (
        Step(first, WARM_SECONDS if clusters.updated and is_live else 0.0),
        Step(second, RELEASE_SECONDS if clusters.removed else 0.0),
        Step(_all(names.CLUSTER_TYPE, new) if clusters.removed else {}, remove=tuple(sorted(removed))),
    )


def restored(folder: Path) -> Snapshot:
    """What an earlier process left in a folder. A damaged file counts as something else than what was written."""
    found: dict[str, list[Body]] = {}
    for type_name, name in WHOLE.items():
        with contextlib.suppress(OSError, ValueError):
            found[type_name] = _resources((folder / name).read_bytes())
    for type_name, subfolder in FOLDERS.items():
        for file in sorted((folder / subfolder).glob("*.json")):
            found.setdefault(type_name, []).append(_only(file))
    return snapshot_of(found)


def _only(file: Path) -> Body:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return _resources(file.read_bytes())[0]
    return {"name": file.stem}


def _resources(content: bytes) -> list[Body]:
    found = orjson.loads(content)
    listed = found.get("resources") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ValueError("not a discovery response")
    return listed


def _differ(old: Snapshot, new: Snapshot, type_name: str) -> bool:
    return old.versions.get(type_name) != new.versions.get(type_name)


def _each(type_name: str, resources: Iterable[Resource]) -> dict[str, bytes]:
    ordered = sorted(resources, key=lambda item: item.name)
    return {path(type_name, item.name): _response(item.version, (item,)) for item in ordered}


def _all(type_name: str, snapshot: Snapshot) -> dict[str, bytes]:
    return {WHOLE[type_name]: _response(snapshot.versions[type_name], snapshot.of(type_name))}


def _with_old_clusters(old: Snapshot, new: Snapshot, removed: tuple[str, ...]) -> dict[str, bytes]:
    """The clusters of both, new ones as they are now."""
    gone = [item for item in old.of(names.CLUSTER_TYPE) if item.name in removed]
    if not gone:
        return _all(names.CLUSTER_TYPE, new)
    version = f"{new.versions[names.CLUSTER_TYPE]}+{len(gone)}"
    return {WHOLE[names.CLUSTER_TYPE]: _response(version, (*new.of(names.CLUSTER_TYPE), *gone))}


def _response(version: str, resources: Iterable[Resource]) -> bytes:
    """A discovery response as Envoy reads it from a file."""
    body = {"version_info": version, "resources": [item.body for item in resources]}
    return orjson.dumps(body, option=orjson.OPT_INDENT_2)


def _replace(file: Path, content: bytes, mode: int) -> None:
    """By rename: Envoy ignores a file that is written in place, and never sees half of one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        opened.write(content)
    os.replace(temporary, file)  # noqa: PTH105 - the point of this function
