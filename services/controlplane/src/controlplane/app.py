"""The control plane's composition root: manifests in, files out, status and metrics beside."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import web

from controlplane import status
from controlplane.metrics import Metrics
from controlplane.options import Options
from controlplane.publish import publish
from controlplane.render import render
from controlplane.status import Status
from gateway.kube.sources.folders import FolderSource
from gateway.kube.sources.source import Snapshot, Source
from gateway.schema.problems import Problem
from gateway.service import admin, lifecycle, logs

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """Where manifests come from, where files go, and the operators' port."""

    config_dirs: tuple[Path, ...]
    output_dir: Path
    host: str
    http_port: int
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class View:
    """What /status shows; replaced whole."""

    published: bool = False
    status: Status = field(default_factory=Status)
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class ControlPlane:
    """Follows the manifests. The only writer of its output folder and of its view."""

    def __init__(self, serving: Serving, source: Source, metrics: Metrics) -> None:
        self._serving = serving
        self._source = source
        self._metrics = metrics
        self.view = View()

    async def follow(self) -> None:
        """Publish every good state of the manifests, and say what is wrong with the others."""
        async for snapshot in self._source.snapshots():
            self._report(snapshot)
            if snapshot.problems and not self.view.published:
                self.view = View(problems=snapshot.problems, notes=snapshot.notes)
                continue
            rendered = await asyncio.to_thread(render, snapshot.manifests, snapshot.addresses, self._serving.options)
            written = await publish(self._serving.output_dir, rendered.files)
            self._metrics.published(written, rendered.status)
            for complaint in set(status.complaints(rendered.status)) - set(status.complaints(self.view.status)):
                log.warning("an object is not served as written", complaint=complaint)
            if written:
                log.info("configuration published", files=len(written))
            self.view = View(True, rendered.status, snapshot.problems, snapshot.notes)

    def _report(self, snapshot: Snapshot) -> None:
        if snapshot.problems != self.view.problems:
            self._metrics.problems(len(snapshot.problems))
            for problem in snapshot.problems:
                log.error("a manifest is wrong; the last good configuration stays", place=str(problem))
            if not snapshot.problems:
                log.info("the manifests are right again")
        for note in set(snapshot.notes) - set(self.view.notes):
            log.warning("a manifest holds something without effect", place=str(note))


async def serve_until(stopping: asyncio.Event, serving: Serving) -> None:
    """Build, follow, serve until asked to stop. Envoy keeps what was published."""
    metrics = Metrics()
    plane = ControlPlane(serving, FolderSource(serving.config_dirs), metrics)

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
        **status.tree(view.status),
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _problem(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {"file": place.source, "line": place.line, "field": problem.field, "message": problem.explanation}
