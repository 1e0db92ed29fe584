"""Serves each group of proxies its own snapshot: a group is the Envoys of one Gateway, and none sees that of another.

A proxy names its group as its node's cluster, in the first request of its stream; whether it may is judged before that.
One that comes before its group has a snapshot waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from controlplane.status.uptake import Uptake
from controlplane.xds.ads.server import AdsServer, changes
from controlplane.xds.snapshot import Snapshot
from gateway.xds.codec import Codec
from gateway.xds.messages import Dialect, Request, Response
from gateway.xds.server import Session


class FleetServer:
    """One `AdsServer` for each group that has a snapshot, or proxies."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._news = asyncio.Event()
        self._groups: dict[str, AdsServer] = {}
        self._wanted: frozenset[str] = frozenset()

    def open(self, dialect: Dialect, wake: Callable[[], None]) -> "_Session":
        """A session for a new stream."""
        return _Session(lambda cluster: self._group(cluster).open(dialect, wake))

    async def serve(self, snapshots: Mapping[str, Snapshot]) -> tuple[str, ...]:
        """Offer each group its snapshot. One that has none any more keeps what it got, as long as it has proxies."""
        self._wanted = frozenset(snapshots)
        changed = [name for group, snapshot in snapshots.items() for name in await self._group(group).serve(snapshot)]
        self._groups = {
            name: server for name, server in self._groups.items() if name in self._wanted or not server.is_idle
        }
        self._news.set()
        return tuple(changed)

    def uptakes(self) -> AsyncIterator[Mapping[str, Uptake]]:
        """What each group made of its latest snapshot, now and whenever that changes. For one reader."""
        return changes(self._news, self._uptakes)

    def _uptakes(self) -> Mapping[str, Uptake]:
        return {name: server.uptake for name, server in self._groups.items() if name in self._wanted}

    def _group(self, name: str) -> AdsServer:
        if name not in self._groups:
            self._groups[name] = AdsServer(self._codec, self._news)
        return self._groups[name]


class _Session:
    """One stream, which belongs to a group from its first request on."""

    def __init__(self, open_in: Callable[[str], Session]) -> None:
        self._open_in = open_in
        self._session: Session | None = None

    def receive(self, request: Request) -> None:
        if self._session is None:
            self._session = self._open_in(request.cluster)
        self._session.receive(request)

    def due(self) -> Response | None:
        return self._session.due() if self._session is not None else None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
