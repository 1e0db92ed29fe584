"""The control plane's composition root: a source of objects in, resources for Envoy out, status and metrics beside.

It serves no request of a client, and what Envoy has stays when it stops. `serve_until` runs it.
"""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import orjson
from aiohttp import web

from controlplane.memo import Memo
from controlplane.metrics import Metrics
from controlplane.options import Options
from controlplane.render import Rendered, render
from controlplane.status import report
from controlplane.status.conditions import Status
from controlplane.xds.files import FolderServer
from controlplane.xds.snapshot import Snapshot as Resources
from gateway.kube.sources.folders import FolderSource
from gateway.kube.sources.source import Snapshot, Source
from gateway.schema.problems import Problem
from gateway.service import admin, lifecycle, logs

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """Where manifests come from, where files go, and the operators' port. `is_strict`: a mistake stops every change."""

    config_dirs: tuple[Path, ...]
    output_dir: Path
    host: str
    http_port: int
    is_strict: bool = False
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class View:
    """The content of /status; replaced whole."""

    published: bool = False
    status: Status = field(default_factory=Status)
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class Server(Protocol):
    """A way of giving Envoy a snapshot. It returns when Envoy can use it, with names of what changed."""

    async def serve(self, snapshot: Resources, /) -> tuple[str, ...]: ...


class ControlPlane:
    """Follows a source. The only caller of its server, and the only writer of its view."""

    def __init__(self, source: Source, server: Server, metrics: Metrics, options: Options) -> None:
        self._source = source
        self._server = server
        self._metrics = metrics
        self._options = options
        self._memo = Memo()
        self.view = View()

    async def follow(self) -> None:
        """Serve every good state of the objects, and report what is wrong with the others."""
        async for snapshot in self._source.snapshots():
            self._report(snapshot)
            if not snapshot.is_usable:
                self.view = replace(self.view, problems=snapshot.problems, notes=snapshot.notes)
                continue
            rendered = await asyncio.to_thread(
                render, snapshot.manifests, snapshot.addresses, self._options, self._memo
            )
            await self._serve(rendered)
            self.view = View(
                published=self.view.published or not rendered.faults,
                status=rendered.status,
                problems=snapshot.problems,
                notes=snapshot.notes,
            )

    async def _serve(self, rendered: Rendered) -> None:
        for fault in rendered.faults:
            log.error("the configuration is not whole; the last good one stays", fault=fault)
        if rendered.faults:
            return
        written = await self._server.serve(rendered.snapshot)
        self._metrics.published(written, rendered.status)
        for complaint in set(report.complaints(rendered.status)) - set(report.complaints(self.view.status)):
            log.warning("an object is not served as written", complaint=complaint)
        if written:
            log.info("configuration published", files=len(written))

    def _report(self, snapshot: Snapshot) -> None:
        if snapshot.problems != self.view.problems:
            self._metrics.problems(len(snapshot.problems))
            for problem in snapshot.problems:
                log.error("a manifest is wrong; its object stays as it was", place=str(problem))
            if not snapshot.problems:
                log.info("the manifests are right again")
        for note in set(snapshot.notes) - set(self.view.notes):
            log.warning("a manifest holds something without effect", place=str(note))


async def serve_until(stopping: asyncio.Event, serving: Serving) -> None:
    """Build, follow and serve until `stopping` is set. Envoy keeps what was published."""
    metrics = Metrics()
    server = FolderServer(serving.output_dir)
    options = serving.options
    source = FolderSource(serving.config_dirs, is_strict=serving.is_strict, services=options.services)
    plane = ControlPlane(source, server, metrics, options)

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=document(plane.view), content_type="application/json")

    operators = admin.application(metrics.registry, lambda: plane.view.published, [web.get("/status", show)])
    async with (
        admin.serving(operators, serving.host, serving.http_port) as port,
        lifecycle.background(plane.follow()),
    ):
        log.info("serving", port=port)
        lifecycle.tune_collector()
        await stopping.wait()


def document(view: View) -> bytes:
    """The JSON of /status."""
    body = {
        "published": view.published,
        "problems": [_problem(problem) for problem in view.problems],
        "notes": [_problem(note) for note in view.notes],
        **report.tree(view.status),
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _problem(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {"file": place.source, "line": place.line, "field": problem.field, "message": problem.explanation}
