"""Serves the latest snapshot to every proxy that has a stream open, each at its own pace.

The only writer of the target. It lives on the event loop; a new snapshot is serialised in a thread, once for all
proxies, and only what changed in it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import MappingProxyType
from typing import Final, TypeVar

from controlplane.status.uptake import Refusal, Uptake
from controlplane.xds.ads.stream import ORDER, Stream, Target
from controlplane.xds.snapshot import Snapshot
from gateway.service import logs
from gateway.xds.codec import Codec
from gateway.xds.messages import Dialect, Request, Response

T = TypeVar("T")
log = logs.get(__name__)

_SHORT: Final = MappingProxyType(dict(zip(ORDER, ("cds", "eds", "lds", "rds", "sds"), strict=True)))
NO_TARGET = Target(MappingProxyType({}), MappingProxyType({}))


class AdsServer:
    """Many proxies, told apart by their node id. `news` is set when the uptake may be another."""

    def __init__(self, codec: Codec, news: asyncio.Event | None = None) -> None:
        self._codec = codec
        self._target: Target | None = None
        self._version = ""
        self._sessions: dict[int, _Session] = {}
        self._news = news or asyncio.Event()

    def open(self, dialect: Dialect, wake: Callable[[], None]) -> "_Session":
        """A session for a new stream."""
        session = _Session(Stream(dialect), wake, self._news.set, self._sessions)
        if self._target is not None:
            session.publish(self._target)
        return session

    async def serve(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Offer a snapshot to every proxy, now and when it connects; the names of what changed."""
        if self._target is not None and self._target.versions == snapshot.versions:
            return ()
        before = self._target or NO_TARGET
        target = await asyncio.to_thread(_target, snapshot, before, self._codec)
        self._target, self._version = target, snapshot.version
        for session in self._sessions.values():
            session.publish(target)
        self._news.set()
        return tuple(_changed(before, target))

    def uptakes(self) -> AsyncIterator[Uptake]:
        """What the proxies made of the latest snapshot, now and whenever that changes. For one reader."""
        return changes(self._news, lambda: self.uptake)

    @property
    def is_idle(self) -> bool:
        """Whether no proxy has a stream open."""
        return not self._sessions

    @property
    def uptake(self) -> Uptake:
        """What the proxies made of the latest snapshot."""
        streams = sorted((session.stream for session in self._sessions.values()), key=lambda found: found.node)
        return Uptake(
            self._version,
            taken=tuple(found.node for found in streams if found.is_current),
            waiting=tuple(found.node for found in streams if not found.is_current and not found.errors),
            refusals=tuple(Refusal(found.node, error) for found in streams for error in found.errors),
        )


async def changes(news: asyncio.Event, latest: Callable[[], T]) -> AsyncIterator[T]:
    """A value now and whenever it is another; `news` is set when it may be. For one reader."""
    shown: T | None = None
    while True:
        news.clear()
        value = latest()
        if value != shown:
            yield value
        shown = value
        await news.wait()


class _Session:
    """One stream of a proxy. It is among the sessions from its first request to its end."""

    def __init__(
        self, stream: Stream, wake: Callable[[], None], on_news: Callable[[], None], sessions: dict[int, "_Session"]
    ) -> None:
        self.stream = stream
        self._wake = wake
        self._on_news = on_news
        self._sessions = sessions

    def publish(self, target: Target) -> None:
        self.stream.publish(target)
        self._wake()

    def receive(self, request: Request) -> None:
        """Take a request; what it refuses is logged."""
        if id(self) not in self._sessions:
            self._sessions[id(self)] = self
            log.info("a proxy has connected", node=request.node)
        self.stream.receive(request)
        if request.error:
            log.error("a proxy refuses its configuration", node=self.stream.node, type=request.type_name,
                      reason=request.error)  # fmt: skip
        self._on_news()

    def due(self) -> Response | None:
        """The next response to send."""
        return self.stream.due()

    def close(self) -> None:
        """The stream is over."""
        if self._sessions.pop(id(self), None) is not None:
            log.info("a proxy has gone", node=self.stream.node)
            self._on_news()


def _target(snapshot: Snapshot, before: Target, codec: Codec) -> Target:
    """A snapshot as it travels; what is the same as before is taken over."""
    resources = {}
    for kind in ORDER:
        known = before.of(kind)
        resources[kind] = MappingProxyType({
            item.name: found if (found := known.get(item.name)) is not None and found.version == item.version
            else codec.resource(item.name, item.version, item.body)
            for item in snapshot.of(kind)
        })  # fmt: skip
    return Target(MappingProxyType(resources), snapshot.versions)


def _changed(before: Target, after: Target) -> list[str]:
    return [
        f"{_SHORT[kind]}/{name}"
        for kind in ORDER
        for name in {**before.of(kind), **after.of(kind)}
        if before.of(kind).get(name) != after.of(kind).get(name)
    ]
