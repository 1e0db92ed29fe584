"""Writes the status of objects to the API server: by server-side apply, and only what it does not have.

Shell. Others may write at the same time: what was read is written back under its version, or read again. A status that
cannot be written is tried again, the latest counts.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.kube.objects import Meta, ObjectKey
from gateway.kube.sources.cluster.observing import Observer
from gateway.kube.sources.cluster.resources import GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, POOL, Resource, Selection
from gateway.kube.sources.cluster.server import LOST, ApiServer, RefusedError
from gateway.kube.sources.cluster.statuses import merged
from gateway.kube.sources.source import Statuses

WRITTEN: Final[Mapping[str, Resource]] = MappingProxyType({
    resource.kind: resource for resource in (GATEWAY_CLASS, GATEWAY, HTTP_ROUTE, POOL)
})  # fmt: skip
ATTEMPTS: Final = 5  # at an object that others write, too, before it has to wait
RETRY_SECONDS: Final = 5.0

MetaOf = Callable[[ObjectKey], Meta | None]  # of an object that is known


class Header(NamedTuple):
    """What an object says of itself; `namespace` is empty for one of the whole cluster."""

    api_version: str
    kind: str
    namespace: str


class StatusWriter:
    """`controller` is the name that entries and fields belong to; `may_write` says whether this replica is the one that
    writes. Run `run` in a task."""

    def __init__(
        self, server: ApiServer, observer: Observer, controller: str, may_write: Callable[[], bool], meta_of: MetaOf
    ) -> None:
        self._server = server
        self._observer = observer
        self._controller = controller
        self._may_write = may_write
        self._meta_of = meta_of
        self._wanted: Statuses = {}
        self._written: dict[ObjectKey, tuple[str, Mapping[str, object]]] = {}  # with the uid of the object
        self._refused: set[str] = set()
        self._offered = asyncio.Event()

    def offer(self, statuses: Statuses) -> None:
        """These are to be written."""
        self._wanted = statuses
        self._offered.set()

    def stir(self) -> None:
        """This replica is the one that writes now; what another wrote meanwhile is not known."""
        self._written.clear()
        self._offered.set()

    def revisit(self) -> None:
        """The objects are others now: one of the same name may have no status yet."""
        if any(meta is not None and meta.uid != uid for meta, uid in self._uids()):
            self._offered.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            while not await self._write():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._offered.wait(), RETRY_SECONDS)
                self._offered.clear()

    async def _write(self) -> bool:
        """Write what was offered last; whether all of it is there."""
        wanted, left = self._wanted, False
        forbidden: set[str] = set()
        self._written = {key: written for key, written in self._written.items() if key in wanted}
        for key, status in wanted.items():
            meta = self._meta_of(key) if key.kind in WRITTEN else None
            if meta is None or self._written.get(key) == (meta.uid, status):
                continue
            if not self._may_write():
                return True
            if key.kind in forbidden or self._offered.is_set():  # there is something newer
                left = True
                continue
            try:
                await self._write_one(key, meta, status)
            except RefusedError as error:
                self._note(key, error)
                left = True
                if error.status == HTTPStatus.FORBIDDEN:
                    forbidden.add(key.kind)
            except LOST:
                return False
            else:
                self._written[key] = (meta.uid, status)
        return not left

    def _uids(self) -> Iterator[tuple[Meta | None, str]]:
        return ((self._meta_of(key), uid) for key, (uid, _) in self._written.items())

    def _note(self, key: ObjectKey, error: RefusedError) -> None:
        """One line for each resource."""
        resource = str(WRITTEN[key.kind])
        if error.status != HTTPStatus.CONFLICT and resource not in self._refused:
            self._refused.add(resource)
            self._observer.unwritten(resource, str(error))

    async def _write_one(self, key: ObjectKey, meta: Meta, status: Mapping[str, object]) -> None:
        group, _, version = meta.api_version.rpartition("/")
        resource = WRITTEN[key.kind]
        if group != resource.group:
            return  # of a former group, whose status has another form
        namespace = key.id.namespace if resource.is_namespaced else ""
        path = f"{Selection(resource, namespace).path(version)}/{key.id.name}"
        for attempt in range(ATTEMPTS):
            try:
                await self._apply(path, Header(meta.api_version, key.kind, namespace), status)
            except RefusedError as error:
                if error.status == HTTPStatus.NOT_FOUND:  # it has just gone
                    return
                if error.status != HTTPStatus.CONFLICT or attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    async def _apply(self, path: str, header: Header, status: Mapping[str, object]) -> None:
        """Write what the object does not have, unless it has changed meanwhile."""
        found = await self._server.find(path)
        if found is None:  # it is gone, or was only made of another object
            return
        changed = merged(found.get("status") or {}, status, self._controller)
        if changed is None:
            return
        metadata = {"name": found["metadata"]["name"], "resourceVersion": found["metadata"]["resourceVersion"]}
        if header.namespace:
            metadata["namespace"] = header.namespace
        body = {"apiVersion": header.api_version, "kind": header.kind, "metadata": metadata, "status": changed}
        await self._server.apply(f"{path}/status", self._controller, body)
        self._observer.wrote(str(WRITTEN[header.kind]))
