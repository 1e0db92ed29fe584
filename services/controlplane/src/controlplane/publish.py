"""Writes rendered files so that Envoy never follows a reference to something that is not there yet.

Shell: files and time, one writer per folder. Envoy takes a file when another is renamed onto its path and says nothing
back, so order and pauses do what acknowledgements do elsewhere (make before break):

    endpoints ▶ clusters, old and new ▶ pause while new ones warm ▶ routes ▶ listeners ▶ pause ▶ clusters, new only
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from controlplane.render import CDS, LDS

# A new cluster serves once its endpoints are read and, for a picker, its first health check is through: 0.5 s to
# connect and 0.5 s to answer at most.
WARM_SECONDS: Final = 1.0
# Envoy's workers take new routes within milliseconds; what is in flight on an old cluster keeps its connection.
RELEASE_SECONDS: Final = 0.5

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Step:
    """Write these files, wait, or remove these."""

    write: Mapping[str, bytes]
    pause: float = 0.0
    remove: tuple[str, ...] = ()


def steps(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[_Step, ...]:
    """How to get from what is published to what was rendered. Pure; nothing is written that did not change."""
    changed = {name: content for name, content in new.items() if old.get(name) != content}
    union, is_new, is_gone = _union(old.get(CDS), new[CDS])
    removed = tuple(sorted(old.keys() - new.keys()))
    first = {name: changed[name] for name in sorted(changed) if name.startswith("eds/")}
    routes = {name: changed[name] for name in sorted(changed) if name.startswith("rds/")}
    last = {CDS: new[CDS]} if is_gone else {}
    return (
        _Step({**first, **({CDS: union} if CDS in changed else {})}, WARM_SECONDS if is_new and LDS in old else 0.0),
        _Step({**routes, **({LDS: changed[LDS]} if LDS in changed else {})}, RELEASE_SECONDS if is_gone else 0.0),
        _Step(last, remove=removed),
    )


def _union(old: bytes | None, new: bytes) -> tuple[bytes, bool, bool]:
    """Clusters of both, new ones as they are now; whether any is new or changed, and whether any is gone."""
    if old is None:
        return new, True, False
    before = {item["name"]: item for item in _resources(old)}
    after = {item["name"]: item for item in _resources(new)}
    gone = {name: item for name, item in before.items() if name not in after}
    is_new = any(before.get(name) != item for name, item in after.items())
    if not gone:
        return new, is_new, False
    version = f"{orjson.loads(new).get('version_info')}+{len(gone)}"
    body = {"version_info": version, "resources": [*after.values(), *gone.values()]}
    return orjson.dumps(body, option=orjson.OPT_INDENT_2), is_new, True


def _resources(content: bytes) -> list[dict[str, object]]:
    """None when a file was damaged: then everything counts as new."""
    with contextlib.suppress(orjson.JSONDecodeError):
        found = orjson.loads(content)
        if isinstance(found, dict) and isinstance(found.get("resources"), list):
            return [item for item in found["resources"] if isinstance(item, dict) and "name" in item]
    return []


def read(folder: Path) -> dict[str, bytes]:
    """What is published, so that a restart breaks nothing either."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.json"))}


async def publish(folder: Path, new: Mapping[str, bytes], sleep: Sleep = asyncio.sleep) -> tuple[str, ...]:
    """Bring the folder to what was rendered; the names of the files that changed."""
    done = []
    for step in steps(read(folder), new):
        for name, content in step.write.items():
            _replace(folder / name, content)
            done.append(name)
        if step.pause:
            await sleep(step.pause)
        for name in step.remove:
            (folder / name).unlink(missing_ok=True)
    return tuple(dict.fromkeys(done))


def _replace(path: Path, content: bytes) -> None:
    """By rename: Envoy ignores a file that is written in place, and never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    os.replace(temporary, path)  # noqa: PTH105 - the point of this function
