"""A service's process: signals, background jobs, the operators' port."""

import asyncio
import signal
import sys

import aiohttp
import pytest
from aiohttp import web

from gateway.service import admin, lifecycle
from gateway.service.metrics import Registry

PROGRAM = """
import asyncio
from gateway.service import lifecycle

async def main(stopping):
    print("up", flush=True)
    await stopping.wait()
    print("draining", flush=True)
    await asyncio.sleep({drain})
    print("done", flush=True)

lifecycle.run(main)
"""


async def program(drain: float) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM.format(drain=drain), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_with_status_0(number: signal.Signals) -> None:
    process = await program(0.0)
    process.send_signal(number)
    out, _ = await process.communicate()
    assert out == b"draining\ndone\n"
    assert process.returncode == 0


async def test_a_second_signal_ends_the_patience() -> None:
    process = await program(60.0)
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert await process.stdout.readline() == b"draining\n"
    process.send_signal(signal.SIGTERM)
    out, _ = await process.communicate()
    assert out == b""
    assert process.returncode == 0


async def test_background_jobs_end_with_the_body() -> None:
    ended = []

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with lifecycle.background(job(), job()):
        await asyncio.sleep(0)
    assert ended == [True, True]


async def test_a_job_that_fails_ends_the_body() -> None:
    async def job() -> None:
        raise ValueError("broken")

    with pytest.raises(ExceptionGroup) as caught:
        async with lifecycle.background(job()):
            await asyncio.Event().wait()
    assert caught.group_contains(ValueError, match="broken")


async def test_the_operators_port_serves_metrics_health_readiness_and_what_is_added() -> None:
    registry, ready = Registry(), [True]
    registry.counter("things_total", "Things.").add()

    async def extra(_request: web.Request) -> web.Response:
        return web.Response(text="more")

    app = admin.application(registry, lambda: ready[0], [web.get("/debug/x", extra)])
    async with admin.serving(app, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:

        async def get(path: str) -> tuple[int, str]:
            async with client.get(path) as answer:
                return answer.status, await answer.text()

        assert "things_total 1.0" in (await get("/metrics"))[1]
        assert await get("/healthz") == (200, "ok\n")
        assert await get("/readyz") == (200, "ready\n")
        assert await get("/debug/x") == (200, "more")
        ready[0] = False
        assert await get("/readyz") == (503, "not ready\n")
        assert await get("/healthz") == (200, "ok\n")
