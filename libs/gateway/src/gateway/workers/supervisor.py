"""The supervisor of a service's workers: their processes, one operators' port, one port of health, and the drain.

           ┌▶ worker 0 ─┐  each: its ports, an operators' socket, a journal that the others read
supervisor ┼▶ worker 1 ─┼──▶ /metrics, /readyz, /debug … of all, on the port that one process would have
           └▶ …         ┘
"""

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.extproc.service import Listeners, address
from gateway.rpc.health import Health
from gateway.rpc.server import Serving, serving
from gateway.service import admin, clock, lifecycle, logs
from gateway.service.worker import Worker
from gateway.workers.client import LOOK_SECONDS, WorkerClient
from gateway.workers.exposition import Sum
from gateway.workers.operators import Operators, Pages
from gateway.workers.processes import Processes
from gateway.workers.supervision import Supervision

log = logs.get(__name__)

INTERVAL_SECONDS: Final = 0.25
# A worker whose loop does not turn for so long is killed, as a probe of liveness would have it.
HANG_SECONDS: Final = 15.0

Command = Callable[[Worker], Sequence[str]]


class HopelessError(Exception):
    """No worker became ready; its own log says why."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`command` starts one worker; `listeners` and the ports are those of the command line."""

    command: Command
    count: int
    listeners: Listeners
    metrics_port: int
    health_port: int
    token: str | None = field(default=None, repr=False)
    pages: Pages = field(default_factory=Pages)


async def serve_until(stopping: asyncio.Event, fleet: Fleet) -> None:
    """Start, watch, drain. Raises HopelessError."""
    with tempfile.TemporaryDirectory(prefix="pointsman-workers-") as folder:
        workers = tuple(Worker(Path(folder), index, fleet.count) for index in range(fleet.count))
        async with WorkerClient(workers) as client:
            await _serve(stopping, fleet, workers, client)


async def _serve(stopping: asyncio.Event, fleet: Fleet, workers: Sequence[Worker], client: WorkerClient) -> None:
    supervision, total = Supervision(fleet.count, clock.monotonic()), Sum()
    processes = Processes(lambda index: fleet.command(workers[index]), supervision, clock.monotonic, total.end)

    def is_ready() -> bool:
        return bool(supervision.ready) and not stopping.is_set()

    async def debug(_request: web.Request) -> web.Response:
        return web.json_response({**fleet.listeners.facts, "workers": list(described(workers, supervision, processes))})

    shown = Operators(client, supervision, total, fleet.pages)
    operators = admin.probes(is_ready, [web.get("/debug", debug), *shown.routes()], fleet.token)
    health = Health(is_ready)
    listeners = fleet.listeners
    async with (
        lifecycle.background(watch(client, supervision, processes)),
        admin.serving(operators, listeners.host, fleet.metrics_port),
        serving((health,), address(listeners.host, fleet.health_port), Serving(transport=listeners.transport)),
    ):
        await processes.run(stopping, listeners.drain_seconds)
    if supervision.is_hopeless:
        raise HopelessError("a worker ended before any was ready")


async def watch(client: WorkerClient, supervision: Supervision, processes: Processes) -> None:
    """Look at each worker again and again: which are ready, and which hang."""
    answered_at: dict[int | None, float] = {}  # by process
    while True:
        running = supervision.running
        found = await client.all(running, "/readyz", LOOK_SECONDS)
        now = clock.monotonic()
        for index in supervision.running:
            pid = processes.pid(index)
            answer = found.get(index)
            supervision.seen(index, is_ready=answer is not None and answer.status == 200)
            if answer is not None:
                answered_at[pid] = now
            elif now - answered_at.get(pid, now) > HANG_SECONDS:
                log.error("a worker hangs and is killed", worker=index, pid=pid)
                processes.kill(index)
        answered_at = {pid: at for pid, at in answered_at.items() if pid in map(processes.pid, supervision.running)}
        await asyncio.sleep(INTERVAL_SECONDS)


def described(
    workers: Sequence[Worker], supervision: Supervision, processes: Processes
) -> "Sequence[Mapping[str, object]]":
    """Each worker for people."""
    return [
        {
            "worker": each.index,
            "pid": processes.pid(each.index),
            "is_ready": each.index in supervision.ready,
            "restarts": supervision.restarts[each.index],
        }
        for each in workers
    ]
