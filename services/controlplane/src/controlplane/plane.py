"""Follows a source of objects: renders each state, serves it, and keeps what there is to say about it.

The only caller of its server, and the only writer of its view. It serves no request of a client, and what Envoy has
stays when it stops.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from controlplane.fleet import EVERY, Fleet, Memos, fleet
from controlplane.metrics import Metrics
from controlplane.options import Options
from controlplane.plan.planning import Port
from controlplane.render import Rendered
from controlplane.status import report
from controlplane.status.conditions import Status
from controlplane.status.merging import merged
from controlplane.status.times import stamped
from controlplane.status.uptake import Uptake, not_taken, not_whole, programmed
from controlplane.xds.snapshot import Snapshot as Resources
from gateway.kube.objects import Manifests
from gateway.kube.sources.source import Snapshot, StatusSource
from gateway.schema.problems import Problem
from gateway.service import lifecycle, logs

log = logs.get(__name__)

Stamp = Callable[[], str]  # the time of day, as Kubernetes writes it
Deploy = Callable[[Manifests], None]  # what is to run for these objects


@dataclass(frozen=True, slots=True)
class View:
    """The content of /status; replaced whole. `status` is that of the configuration which Envoy has, or refuses, and
    `uptakes` is what each group of Envoys made of its own."""

    published: bool = False
    status: Status = field(default_factory=Status)
    uptakes: Mapping[str, Uptake] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class Server(Protocol):
    """A way of giving each group of Envoys its snapshot."""

    async def serve(self, snapshots: Mapping[str, Resources], /) -> tuple[str, ...]:
        """Give them, or offer them to whoever asks; names of what changed."""

    def uptakes(self) -> AsyncIterator[Mapping[str, Uptake]]:
        """What became of the latest snapshots, whenever that changes."""


class OneServer(Protocol):
    """A way of giving one snapshot to every Envoy."""

    async def serve(self, snapshot: Resources, /) -> tuple[str, ...]: ...

    def uptakes(self) -> AsyncIterator[Uptake]: ...


class ForEvery:
    """All Envoys are one group."""

    def __init__(self, server: OneServer) -> None:
        self._server = server

    async def serve(self, snapshots: Mapping[str, Resources]) -> tuple[str, ...]:
        return await self._server.serve(snapshots[EVERY])

    async def uptakes(self) -> AsyncIterator[Mapping[str, Uptake]]:
        async for uptake in self._server.uptakes():
            yield {EVERY: uptake}


def nothing(_manifests: Manifests) -> None:
    """Envoys are run by someone else."""


class ControlPlane:
    """Run `follow`, `watch` and `report` beside each other."""

    def __init__(
        self,
        source: StatusSource,
        server: Server,
        metrics: Metrics,
        options: Options,
        stamp: Stamp,
        *,
        deploy: Deploy = nothing,
    ) -> None:
        self._source = source
        self._server = server
        self._metrics = metrics
        self._options = options
        self._stamp = stamp
        self._ports: tuple[Port, ...] = ()
        self._deploy = deploy
        self._memos: Memos = {}
        self._fleet: Fleet | None = None  # the latest, whole or not
        self._served: Mapping[str, Rendered] = {}  # of each group the latest that is whole
        self._shown: Mapping[str, Status] = {}  # of each group
        self._status_changed = asyncio.Event()
        self.view = View()

    @property
    def ports(self) -> tuple[Port, ...]:
        """What Envoy was given to serve at each port."""
        return self._ports

    async def follow(self) -> None:
        """Serve every good state of the objects, and report what is wrong with the others."""
        async for snapshot in self._source.snapshots():
            self._report(snapshot)
            if snapshot.is_usable:
                self._deploy(snapshot.manifests)
                await self._serve(
                    await asyncio.to_thread(fleet, snapshot.manifests, snapshot.addresses, self._options, self._memos)
                )
            self.view = replace(self.view, problems=snapshot.problems, notes=snapshot.notes)

    async def watch(self) -> None:
        """Show what Envoy made of what was served."""
        async for uptakes in self._server.uptakes():
            self.view = replace(self.view, uptakes=uptakes)
            self._metrics.taken(uptakes.values())
            self._show()

    async def report(self) -> None:
        """Give every new status back to the source. Of several that come while one is taken, the latest counts."""
        while True:
            await self._status_changed.wait()
            self._status_changed.clear()
            await self._source.report(report.statuses(self.view.status))

    async def _serve(self, latest: Fleet) -> None:
        whole = {name: found for name, found in latest.groups.items() if not found.faults}
        faults = tuple(fault for found in latest.groups.values() for fault in found.faults)
        for fault in faults:
            log.error("the configuration is not whole; the last good one stays", fault=fault)
        is_first, self._fleet = not self.view.published, latest
        served = {name: found for name, found in {**self._served, **whole}.items() if name in latest.groups}
        self._ports = tuple(port for found in served.values() for port in found.ports)
        self._served = served
        if served or not faults:
            changed = await self._server.serve({name: found.snapshot for name, found in served.items()})
            self._metrics.published(changed)
            self.view = replace(self.view, published=True)
            if changed:
                log.info("configuration published", changed=len(changed))
        self.view = replace(self.view, faults=faults)
        self._show()
        if is_first:
            lifecycle.tune_collector()  # what was read and rendered lives as long as the process

    def _show(self) -> None:
        """The status of what is served, once every Envoy has answered; until then the former one stays."""
        if self._fleet is None:
            return
        self._shown = {name: self._status(name, found, self._fleet) for name, found in self._fleet.groups.items()}
        rest = () if self._fleet.rest is None else (self._fleet.rest,)
        status = merged((*self._shown.values(), *rest))
        self._metrics.served(status)
        self._set_status(status)

    def _status(self, group: str, rendered: Rendered, latest: Fleet) -> Status:
        if rendered.faults:
            return programmed(rendered.status, not_whole(rendered.faults))
        version, uptake = rendered.snapshot.version, self.view.uptakes.get(group, Uptake())
        is_open = uptake.version != version or bool(uptake.waiting and not uptake.refusals)
        if is_open and group in self._shown:
            return self._shown[group]
        uptake = uptake if uptake.version == version else Uptake(version)
        is_elsewhere = group in latest.ready and uptake == Uptake(version)  # its Envoys ask another replica
        return programmed(rendered.status, not_taken(replace(uptake, is_known=not is_elsewhere and uptake.is_known)))

    def _set_status(self, status: Status) -> None:
        status = stamped(status, self.view.status, self._stamp())
        for complaint in set(report.complaints(status)) - set(report.complaints(self.view.status)):
            log.warning("an object is not served as written", complaint=complaint)
        if status != self.view.status:
            self._status_changed.set()
            self.view = replace(self.view, status=status)

    def _report(self, snapshot: Snapshot) -> None:
        if snapshot.problems != self.view.problems:
            self._metrics.problems(len(snapshot.problems))
            for problem in snapshot.problems:
                log.error("a manifest is wrong; its object stays as it was", place=str(problem))
            if not snapshot.problems:
                log.info("the manifests are right again")
        for note in set(snapshot.notes) - set(self.view.notes):
            log.warning("a manifest holds something without effect", place=str(note))
