"""Manifests and the addresses of the names in them, as one stream of snapshots.

Shell. Control plane and endpoint picker both follow it, so that both see the same endpoints.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.kube.endpoints import hostnames
from gateway.kube.objects import Manifests
from gateway.kube.sources.resolve import Lookup, Resolver, system_lookup
from gateway.kube.sources.watch import TICK_SECONDS, ManifestSource
from gateway.schema.documents import Problem


class Snapshot(NamedTuple):
    """The last good manifests with the addresses of their names. With `problems`, the folders hold something newer
    that was refused; before the first good reading, `manifests` is empty."""

    manifests: Manifests
    addresses: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()


async def snapshots(
    dirs: Sequence[Path], *, lookup: Lookup = system_lookup, tick_seconds: float = TICK_SECONDS
) -> AsyncGenerator[Snapshot, None]:
    """A snapshot now, then one after every change of a file or of a name's addresses. Ends only by cancellation."""
    resolver = Resolver(lookup)
    last: Snapshot | None = None
    manifests = Manifests()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    try:
        async for loaded in ManifestSource(dirs, tick_seconds=tick_seconds).ticks():
            if loaded is not None:
                problems, notes = loaded.problems, loaded.notes
                manifests = manifests if problems else loaded.manifests
            addresses = await resolver.resolve(hostnames(manifests))
            snapshot = Snapshot(manifests, addresses, problems, notes)
            if snapshot != last:
                yield snapshot
            last = snapshot
    finally:
        resolver.close()
