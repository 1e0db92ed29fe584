"""The objects of an API server as snapshots: one cache for each process.

Shell. `run` is the only writer: it keeps one follower for each selection that is needed, which may depend on objects,
and puts their objects together in a worker thread. Nothing is shown before every selection was read or refused.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from gateway.kube.objects import Manifests, Meta, ObjectKey, ObjectName, Parsed
from gateway.kube.reading.contents import Contents, Entry
from gateway.kube.resolution.derived import with_derived
from gateway.kube.resolution.endpoints import hostnames
from gateway.kube.resolution.merging import changed, held, merged
from gateway.kube.sources.cluster import decoding
from gateway.kube.sources.cluster.announcer import Announcer
from gateway.kube.sources.cluster.elector import Election, Elector
from gateway.kube.sources.cluster.events import events
from gateway.kube.sources.cluster.follower import Follower
from gateway.kube.sources.cluster.keeper import ObjectKeeper
from gateway.kube.sources.cluster.observing import Observer
from gateway.kube.sources.cluster.resources import ENDPOINT_SLICE, Selection
from gateway.kube.sources.cluster.server import ApiServer
from gateway.kube.sources.cluster.writer import StatusWriter
from gateway.kube.sources.resolve import Lookup, Resolver, system_lookup
from gateway.kube.sources.source import Snapshot, Statuses, Wanted
from gateway.schema.problems import Problem
from gateway.service import clock

DEBOUNCE_SECONDS: Final = 0.02  # a rollout changes several objects at once
TICK_SECONDS: Final = 1.0  # how often names are resolved, where there are any

Needs = Callable[[Manifests], Sequence[Selection]]  # what is followed, by what is known; in order: the last counts
Names = Callable[[Manifests], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """All that is known; replaced whole."""

    manifests: Manifests
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a process takes from its source. `services` are some whose addresses are wanted although no object names
    them; `controller` is the name under which it writes objects and their status, empty where it writes none; with an
    `election` the replica that was elected writes, and else every one."""

    needs: Needs
    services: tuple[ObjectName, ...] = ()
    controller: str = ""
    election: Election | None = None


class ClusterSource:
    """Run `run` in a task."""

    def __init__(
        self,
        server: ApiServer,
        consumer: Consumer,
        observer: Observer,
        *,
        lookup: Lookup = system_lookup,
        random: Random,
    ) -> None:
        self._server = server
        self._needs = consumer.needs
        self._observer = observer
        self._controller = consumer.controller
        self._services = consumer.services
        self._elector = None if consumer.election is None else Elector(
            server, observer, consumer.election, consumer.controller, gained=self._stir, random=random
        )  # fmt: skip
        may_write = _always if self._elector is None else self._elector.may_write
        self._writer = StatusWriter(server, observer, consumer.controller, may_write, self._meta_of)
        self._announcer = Announcer(server, observer, consumer.controller, may_write)
        self._keeper = ObjectKeeper(server, observer, consumer.controller, may_write, random)
        self._lookup = lookup
        self._random = random
        self._followers: dict[Selection, Follower[Entry]] = {}
        self._tasks: dict[Selection, asyncio.Task[None]] = {}
        self._stirred = asyncio.Event()
        self._manifests = Manifests()  # as far as they are known, also before the first reading
        self._reading: Reading | None = None
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Follow what is needed, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._writer.run())
            group.create_task(self._keeper.run())
            group.create_task(self._announcer.run())
            if self._elector is not None:
                group.create_task(self._elector.run())
            while True:
                self._adjust(group)
                await self._stirred.wait()
                await asyncio.sleep(DEBOUNCE_SECONDS)
                self._stirred.clear()
                await self._read()

    async def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        """A snapshot once all is read, then one after every change of an object or of a name's addresses."""
        resolver, shown = Resolver(self._lookup), Snapshot(Manifests(), {})
        reading: Reading | None = None
        try:
            while True:
                before, reading = reading, await self._newer(reading)
                addresses = await resolver.resolve(reading.names)
                objects: frozenset[ObjectKey] = frozenset()
                if reading is not before:
                    objects = await asyncio.to_thread(changed, shown.manifests, reading.manifests)
                snapshot = Snapshot(reading.manifests, addresses, reading.problems, reading.notes, objects)
                if before is None or objects or snapshot[1:4] != shown[1:4]:
                    shown = snapshot
                    yield snapshot
        finally:
            resolver.close()

    async def report(self, statuses: Statuses, /) -> None:
        """They are written beside this; of several that come meanwhile, the latest count."""
        self._writer.offer(statuses)

    async def keep(self, wanted: Wanted, /) -> None:
        """They are applied beside this; of several that come meanwhile, the latest count."""
        self._keeper.offer(wanted)

    async def shared_secret(
        self, namespace: str, name: str, make: Callable[[], Mapping[str, bytes]], /
    ) -> Mapping[str, bytes]:
        """Tried until the server lets it be read, or made."""
        return await self._keeper.shared_secret(namespace, name, make)

    def _stir(self) -> None:
        """This replica is the one that writes now."""
        self._writer.stir()
        self._keeper.stir()
        self._announcer.stir()

    async def _newer(self, known: Reading | None) -> Reading:
        """The next reading; the same one after a while where it holds names."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS if known is not None and known.names else None), self._news:
                await self._news.wait_for(lambda: self._reading is not known)
        assert self._reading is not None  # it is another one than None, or was known
        return self._reading

    def _adjust(self, group: asyncio.TaskGroup) -> None:
        """Follow what is needed by what is known, and let go what is not, once all that is needed was read."""
        wanted = dict.fromkeys(self._needs(self._manifests))
        for selection in wanted.keys() - self._followers.keys():
            follower = Follower(
                selection, self._server, self._observer, self._stirred.set, self._random, decoding.entry
            )
            self._tasks[selection] = group.create_task(follower.run())
            self._followers[selection] = follower
        followers = {selection: self._followers[selection] for selection in wanted}
        gone = self._followers.keys() - wanted.keys()
        if gone and not all(self._is_settled(follower) for follower in followers.values()):
            followers = {**{selection: self._followers[selection] for selection in gone}, **followers}
        else:
            for selection in gone:
                self._tasks.pop(selection).cancel()
        self._followers = followers

    def _is_settled(self, follower: Follower[Entry]) -> bool:
        """Whether nobody needs to wait for it, also since the server gives all but this one."""
        return follower.reflector.is_settled or (bool(self._observer.is_reached) and follower.reflector.is_stuck)

    async def _read(self) -> None:
        """Put together what is known now."""
        found = [follower.reflector.items for follower in self._followers.values()]
        reading = await asyncio.to_thread(_reading, found, self._manifests, self._names)
        self._manifests = reading.manifests
        self._writer.revisit()
        await self._show(reading)
        if self._controller:
            self._announcer.offer(await asyncio.to_thread(events, found, self._controller, clock.stamp()))

    async def _show(self, reading: Reading) -> None:
        """To whoever waits for it, once every selection was read or refused."""
        is_whole = all(self._is_settled(follower) for follower in self._followers.values())
        is_complete = set(self._needs(reading.manifests)) <= self._followers.keys()
        if self._reading is None and not (is_whole and is_complete):
            return
        async with self._news:
            self._reading = reading
            self._news.notify_all()

    def _meta_of(self, key: ObjectKey) -> Meta | None:
        of_kind: Mapping[str, Mapping[ObjectName, Parsed]] = {
            "GatewayClass": self._manifests.gateway_classes,
            "Gateway": self._manifests.gateways,
            "HTTPRoute": self._manifests.routes,
            "InferencePool": self._manifests.pools,
        }
        found = of_kind[key.kind].get(key.id)
        return found.meta if found is not None else None

    def _names(self, manifests: Manifests) -> frozenset[str]:
        """What is looked up. Who follows no slices connects to no Service."""
        connects = any(selection.resource is ENDPOINT_SLICE for selection in self._followers)
        return hostnames(manifests, self._services) if connects else frozenset()


def _always() -> bool:
    return True


def _reading(found: Sequence[Sequence[Entry]], before: Manifests, names_of: Names) -> Reading:
    """What a worker thread does after every change."""
    loaded = merged([Contents(tuple(entries))] for entries in found)
    manifests = with_derived(held(before, loaded))
    return Reading(manifests, loaded.problems, loaded.notes, names_of(manifests))
