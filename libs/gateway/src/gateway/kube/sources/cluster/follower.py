"""Does what a reflector wants, for one selection of objects: requests to the API server, and reports how they went.

Shell. Answers are decoded in a worker thread. A token of the process's account and its permissions are tried anew with
each request.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from random import Random
from typing import Final, Generic, TypeVar

from gateway.kube.sources.cluster import decoding
from gateway.kube.sources.cluster.decoding import ErrorEvent, Lines, Origin, Read, UnreadableError
from gateway.kube.sources.cluster.observing import Observer
from gateway.kube.sources.cluster.reflector import Event, List, Phase, Reflector, Wait, Watch
from gateway.kube.sources.cluster.resources import Selection
from gateway.kube.sources.cluster.server import LOST, ApiServer, RefusedError
from gateway.kube.sources.rest import Rest
from gateway.service import clock

T = TypeVar("T")

PAGE_ITEMS: Final = 250  # objects; 2 MiB of Pods, which take the interpreter 5 ms in one piece
WATCH_SECONDS: Final = 300.0  # at least, and at most twice that: the server's watches end at different times


class Follower(Generic[T]):
    """Run `run` in a task. `stirred` is called when the objects, or how it stands with them, may be others; `read`
    makes of each what is kept."""

    def __init__(
        self,
        selection: Selection,
        server: ApiServer,
        observer: Observer,
        stirred: Callable[[], None],
        random: Random,
        read: Read[T],
    ) -> None:
        self._selection = selection
        self._server = server
        self._observer = observer
        self._stirred = stirred
        self._random = random
        self._rest = Rest()
        self._phase: Phase | None = None
        self._reason = ""
        self._is_open = False  # whether the server has answered the request under way
        self._read = read
        self.reflector: Reflector[T] = Reflector(selection.resource.versions, random)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._show()
                step = self.reflector.next_step()
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                else:
                    await self._perform(step)
        finally:
            self._rest.end()
            self._observer.phase(self._selection, self._phase, None)

    async def _perform(self, step: List | Watch) -> None:
        began, self._is_open = clock.monotonic(), False
        try:
            if isinstance(step, List):
                await self._list(step)
            else:
                await self._watch(step)
                self.reflector.ended(clock.monotonic() - began)
        except RefusedError as error:
            self._answered()
            self._refused(error, clock.monotonic() - began)
        except UnreadableError as error:
            self._refused(RefusedError(HTTPStatus.BAD_GATEWAY, str(error)), clock.monotonic() - began)
        except LOST as error:
            if not self._is_open:
                self._observer.failed(error)
            self.reflector.lost(clock.monotonic() - began)
            self._stirred()

    async def _list(self, step: List) -> None:
        query = {**self._selection.query, "limit": str(PAGE_ITEMS)}
        if step.continuation:
            query["continue"] = step.continuation
        body = await self._server.get(self._selection.path(step.version), query)
        self._answered()
        if self.reflector.listed(
            await asyncio.to_thread(decoding.page, body, self._origin(step), self._read, self._rest)
        ):
            self._stirred()

    async def _watch(self, step: Watch) -> None:
        query = {
            **self._selection.query,
            "resourceVersion": step.resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH_SECONDS * (1 + self._random.random()))),
        }
        lines = Lines()
        async with self._server.watch(self._selection.path(step.version), query) as chunks:
            self._answered()
            self.reflector.opened()
            self._show()
            async for chunk in chunks:
                self._take(await asyncio.to_thread(self._decoded, lines, chunk, self._origin(step)))

    def _decoded(self, lines: Lines, chunk: bytes, origin: Origin) -> list[Event[T] | ErrorEvent]:
        found = []
        for line in lines.feed(chunk):
            found.append(decoding.event(line, origin, self._read))
            self._rest()
        return found

    def _take(self, events: list[Event[T] | ErrorEvent]) -> None:
        has_changed = False
        for each in events:
            if isinstance(each, ErrorEvent):
                raise RefusedError(each.status, each.message)
            has_changed |= self.reflector.changed(each)
        if has_changed:
            self._stirred()

    def _origin(self, step: List | Watch) -> Origin:
        resource = self._selection.resource
        return Origin(resource.api_version(step.version), resource.kind)

    def _answered(self) -> None:
        self._is_open = True
        self._observer.answered()

    def _refused(self, error: RefusedError, lasted: float) -> None:
        self._reason = str(error)
        self.reflector.refused(error.status, error.retry_after, lasted)
        self._stirred()

    def _show(self) -> None:
        """Log and count what has changed about the resource."""
        before, self._phase = self._phase, self.reflector.phase
        if self._phase == before:
            return
        self._observer.phase(self._selection, before, self._phase)
        if self._phase is Phase.FOLLOWING:
            if before is not Phase.STARTING:
                self._observer.followed(self._selection)
        elif self._phase is not Phase.STARTING:
            self._observer.refused(self._selection, self._phase, self.reflector.verb, self._reason)
