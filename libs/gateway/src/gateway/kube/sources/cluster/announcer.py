"""Writes Events to the API server, each once for as long as it is true.

Shell around `events`. Nothing depends on an Event: one that cannot be written is tried again later.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from gateway.kube.sources.cluster.events import Events
from gateway.kube.sources.cluster.observing import Observer
from gateway.kube.sources.cluster.resources import EVENT
from gateway.kube.sources.cluster.server import LOST, ApiServer, RefusedError

RETRY_SECONDS: Final = 30.0


class Announcer:
    """`reporter` says who writes, `may_write` whether this replica does. Run `run` in a task."""

    def __init__(self, server: ApiServer, observer: Observer, reporter: str, may_write: Callable[[], bool]) -> None:
        self._server = server
        self._observer = observer
        self._reporter = reporter
        self._may_write = may_write
        self._wanted: Events = {}
        self._written: set[str] = set()
        self._offered = asyncio.Event()

    def offer(self, wanted: Events) -> None:
        """These are true now."""
        if wanted.keys() != self._wanted.keys():
            self._wanted = wanted
            self._offered.set()

    def stir(self) -> None:
        """This replica is the one that writes now."""
        self._offered.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            is_done = await self._write()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._offered.wait(), None if is_done else RETRY_SECONDS)
            self._offered.clear()

    async def _write(self) -> bool:
        """Write what is new; whether all of it is there."""
        wanted = self._wanted
        self._written &= wanted.keys()
        for name in wanted.keys() - self._written:
            if not self._may_write():
                return True
            folder = EVENT.folder(wanted[name]["metadata"]["namespace"])
            try:
                await self._server.create(folder, self._reporter, wanted[name])
            except RefusedError as error:
                if error.status != HTTPStatus.CONFLICT:  # it is there
                    self._observer.unkept(str(EVENT), "create", str(error))
                    return False
            except LOST as error:
                self._observer.failed(error)
                return False
            self._written.add(name)
        return True
