"""Keeps objects as they are wanted: applied on the server's side, put right when they change, deleted in the end.

Shell around `drift`. It follows what it made, by a label, and writes nothing before it knows that.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from random import Random
from typing import Any, Final

from gateway.kube.sources.cluster.drift import Key, Live, changes, key_of, live
from gateway.kube.sources.cluster.follower import Follower
from gateway.kube.sources.cluster.observing import Observer
from gateway.kube.sources.cluster.reflector import Item
from gateway.kube.sources.cluster.resources import DEPLOYED, MANAGED_BY, SECRET, Selection
from gateway.kube.sources.cluster.server import LOST, ApiServer, RefusedError
from gateway.kube.sources.source import Wanted

BY_KIND: Final = {resource.kind: resource for resource in DEPLOYED}
RETRY_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.2  # between two rounds: a rollout changes its objects many times


class ObjectKeeper:
    """`manager` owns the fields that it applies; `may_write` says whether this replica is the one that does. Run `run`
    in a task."""

    def __init__(
        self, server: ApiServer, observer: Observer, manager: str, may_write: Callable[[], bool], random: Random
    ) -> None:
        self._server = server
        self._observer = observer
        self._manager = manager
        self._may_write = may_write
        self._random = random
        self._wanted: Wanted | None = None
        self._applied: dict[Key, tuple[Mapping[str, Any], str]] = {}
        self._stirred = asyncio.Event()

    def offer(self, wanted: Wanted) -> None:
        """These are to be there."""
        self._wanted = wanted
        self._stirred.set()

    def stir(self) -> None:
        """This replica is the one that writes now."""
        self._stirred.set()

    async def run(self) -> None:
        """Until cancelled. Nothing is followed before anything is wanted."""
        while self._wanted is None:
            self._stirred.clear()
            await self._stirred.wait()
        followers = [
            Follower(
                Selection(resource, labels=(MANAGED_BY,)),
                self._server,
                self._observer,
                self._stirred.set,
                self._random,
                _read,
            )
            for resource in DEPLOYED
        ]
        async with asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower.run())
            while True:
                self._stirred.clear()
                is_done = True
                if all(follower.reflector.is_settled for follower in followers):
                    is_done = await self._write([each for follower in followers for each in follower.reflector.items])
                await asyncio.sleep(PAUSE_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stirred.wait(), None if is_done else RETRY_SECONDS)

    async def shared_secret(
        self, namespace: str, name: str, make: Callable[[], Mapping[str, bytes]]
    ) -> Mapping[str, bytes]:
        """The data of a Secret, which is made where there is none."""
        while True:
            verb = "get"
            try:
                found = await self._read_secret(namespace, name)
                if found is not None:
                    return found
                verb = "create"
                return await self._make_secret(namespace, name, make)
            except RefusedError as error:
                if error.status != HTTPStatus.CONFLICT:  # else another replica was quicker
                    self._observer.unkept(str(SECRET), verb, str(error))
            except LOST as error:
                self._observer.failed(error)
            await asyncio.sleep(self._random.uniform(RETRY_SECONDS / 10, RETRY_SECONDS))

    async def _read_secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        found = await self._server.find(f"{SECRET.folder(namespace)}/{name}")
        if found is None:
            return None
        return {key: base64.b64decode(text) for key, text in (found.get("data") or {}).items()}

    async def _make_secret(
        self, namespace: str, name: str, make: Callable[[], Mapping[str, bytes]]
    ) -> Mapping[str, bytes]:
        data = await asyncio.to_thread(make)
        body = {
            "apiVersion": "v1",
            "kind": SECRET.kind,
            "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "pointsman"}},
            "data": {key: base64.b64encode(text).decode() for key, text in data.items()},
        }
        await self._server.create(SECRET.folder(namespace), self._manager, body)
        return data

    async def _write(self, found: list[Live]) -> bool:
        """Write what differs; whether all of it is there."""
        wanted = self._wanted or Wanted()
        keys = {key_of(each) for each in wanted.objects}
        self._applied = {key: kept for key, kept in self._applied.items() if key in keys}
        due, is_done = changes(wanted, found, self._applied), True
        try:
            for each in due.applied:
                is_done &= not self._may_write() or await self._apply(each)
            for gone in due.deleted:
                is_done &= not self._may_write() or await self._delete(gone)
        except LOST as error:
            self._observer.failed(error)
            return False
        return is_done

    async def _apply(self, body: Mapping[str, Any]) -> bool:
        key = kind, namespace, name = key_of(body)
        resource = BY_KIND[kind]
        try:
            made = await self._server.apply(f"{resource.folder(namespace)}/{name}", self._manager, body)
        except RefusedError as error:
            self._observer.unkept(str(resource), "patch", str(error))
            return False
        version = str(made["metadata"]["resourceVersion"])
        if self._applied.get(key, (None, ""))[1] != version:  # else the server had it, and the news of that is to come
            self._observer.kept(str(resource), "apply", f"{namespace}/{name}")
        self._applied[key] = (body, version)
        return True

    async def _delete(self, gone: Live) -> bool:
        kind, namespace, name = gone.key
        resource = BY_KIND[kind]
        try:
            await self._server.delete(f"{resource.folder(namespace)}/{name}", gone.uid)
        except RefusedError as error:
            if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                self._observer.unkept(str(resource), "delete", str(error))
                return False
            return True
        self._observer.kept(str(resource), "delete", f"{namespace}/{name}")
        return True


def _read(data: dict[str, object]) -> Item[Live] | None:
    found = live(data)
    return None if found is None else Item(found.key, found)
