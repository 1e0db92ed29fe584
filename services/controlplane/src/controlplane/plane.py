"""Follows a source of objects: renders each state, serves it, and keeps what there is to say about it.

The only caller of its server, and the only writer of its view. It serves no request of a client, and what Envoy has
stays when it stops.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from controlplane.memo import Memo
from controlplane.metrics import Metrics
from controlplane.options import Options
from controlplane.plan.planning import Port
from controlplane.render import Rendered, render
from controlplane.status import report
from controlplane.status.conditions import Status
from controlplane.status.times import stamped
from controlplane.status.uptake import Uptake, not_taken, not_whole, programmed
from controlplane.xds.snapshot import Snapshot as Resources
from gateway.kube.sources.source import Snapshot, StatusSource
from gateway.schema.problems import Problem
from gateway.service import lifecycle, logs

log = logs.get(__name__)

Stamp = Callable[[], str]  # the time of day, as Kubernetes writes it


@dataclass(frozen=True, slots=True)
class View:
    """The content of /status; replaced whole. `status` is that of the configuration which Envoy has, or refuses."""

    published: bool = False
    status: Status = field(default_factory=Status)
    uptake: Uptake = field(default_factory=Uptake)
    faults: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class Server(Protocol):
    """A way of giving Envoy a snapshot."""

    async def serve(self, snapshot: Resources, /) -> tuple[str, ...]:
        """Give it, or offer it to whoever asks; names of what changed."""

    def uptakes(self) -> AsyncIterator[Uptake]:
        """What became of the latest snapshot, whenever that changes."""


class ControlPlane:
    """Run `follow`, `watch` and `report` beside each other."""

    def __init__(self, source: StatusSource, server: Server, metrics: Metrics, options: Options, stamp: Stamp) -> None:
        self._source = source
        self._server = server
        self._metrics = metrics
        self._options = options
        self._stamp = stamp
        self._memo = Memo()
        self._served: Rendered | None = None
        self._status_changed = asyncio.Event()
        self.view = View()

    @property
    def ports(self) -> tuple[Port, ...]:
        """What Envoy was given to serve at each port."""
        return self._served.ports if self._served is not None else ()

    async def follow(self) -> None:
        """Serve every good state of the objects, and report what is wrong with the others."""
        async for snapshot in self._source.snapshots():
            self._report(snapshot)
            if snapshot.is_usable:
                rendered = await asyncio.to_thread(
                    render, snapshot.manifests, snapshot.addresses, self._options, self._memo
                )
                await self._serve(rendered)
            self.view = replace(self.view, problems=snapshot.problems, notes=snapshot.notes)

    async def watch(self) -> None:
        """Show what Envoy made of what was served."""
        async for uptake in self._server.uptakes():
            self.view = replace(self.view, uptake=uptake)
            self._metrics.taken(uptake)
            self._show()

    async def report(self) -> None:
        """Give every new status back to the source. Of several that come while one is taken, the latest counts."""
        while True:
            await self._status_changed.wait()
            self._status_changed.clear()
            await self._source.report(report.statuses(self.view.status))

    async def _serve(self, rendered: Rendered) -> None:
        for fault in rendered.faults:
            log.error("the configuration is not whole; the last good one stays", fault=fault)
        if rendered.faults:
            self.view = replace(self.view, faults=rendered.faults)
            self._say(programmed(rendered.status, not_whole(rendered.faults)))
            return
        is_first, self._served = self._served is None, rendered
        changed = await self._server.serve(rendered.snapshot)
        self._metrics.published(changed, rendered.status)
        self.view = replace(self.view, published=True, faults=())
        self._show()
        if changed:
            log.info("configuration published", changed=len(changed))
        if is_first:
            lifecycle.tune_collector()  # what was read and rendered lives as long as the process

    def _show(self) -> None:
        """The status of what was served, once every Envoy has answered; until then the former one stays."""
        served, uptake = self._served, self.view.uptake
        if served is None:
            return
        is_open = uptake.version != served.snapshot.version or bool(uptake.waiting and not uptake.refusals)
        if is_open and self.view.status != Status():
            return
        if uptake.version != served.snapshot.version:
            uptake = Uptake(served.snapshot.version)
        self._say(programmed(served.status, not_taken(uptake)))

    def _say(self, status: Status) -> None:
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
