"""The HTTP port for operators that every service has: /metrics, /healthz, /readyz, /debug, and what the service adds.

A shell on aiohttp. Liveness says only that the loop turns; readiness is the service's own answer. Never on the path
of a request.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

from gateway.service import access
from gateway.service.exposition import CONTENT_TYPE
from gateway.service.metrics import Metric

Ready = Callable[[], bool]
NO_FACTS: Mapping[str, object] = MappingProxyType({})


def application(
    shown: Metric,
    is_ready: Ready,
    routes: Iterable[web.RouteDef] = (),
    facts: Mapping[str, object] = NO_FACTS,
    token: str | None = None,
) -> web.Application:
    """The operators' routes, a service's own by `routes`. `shown` is what /metrics gives, `facts` what /debug does.
    With a token all but probes and /metrics want it."""

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=shown.render().encode(), headers={"Content-Type": CONTENT_TYPE})

    async def debug(_request: web.Request) -> web.Response:
        return web.json_response(dict(facts))

    return probes(is_ready, [web.get("/metrics", metrics), web.get("/debug", debug), *routes], token)


def probes(is_ready: Ready, routes: Iterable[web.RouteDef], token: str | None = None) -> web.Application:
    """/healthz and /readyz, and these routes, of which the first that fits counts."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ready\n") if is_ready() else web.Response(status=503, text="not ready\n")

    app = web.Application(middlewares=[access.wanting(token)] if token else [])
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), *routes])
    return app


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int, socket: Path | None = None) -> AsyncIterator[int]:
    """Serve while the body runs, on the Unix socket alone where there is one; yields the port, which port 0 leaves to
    the system."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        if socket is not None:
            await web.UnixSite(runner, str(socket)).start()
            yield 0
        else:
            await web.TCPSite(runner, host, port, reuse_port=False).start()
            yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
