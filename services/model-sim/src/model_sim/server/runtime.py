"""Runs simulators in this process until a signal: sockets, drain, exit status. The only place that ends the process."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack

import uvloop
from aiohttp import web

from gateway.service import logs
from model_sim.replica.settings import Settings
from model_sim.server import app
from model_sim.server.simulator import Simulator
from model_sim.text.corpus import Corpus
from model_sim.text.tokenizer import BuiltinTokenizer, Tokenizer

DRAIN_POLL_SECONDS = 0.02
"""Short beside an answer, and rare enough to cost nothing."""
BACKLOG = 1024
"""A load test opens hundreds of connections at once."""

log = logs.get(__name__)


class StartError(OSError):
    """A port that cannot be listened on, or a file that cannot be read."""


def tokenizer_of(settings: Settings) -> Tokenizer:
    if settings.tokenizer_file is None:
        return BuiltinTokenizer()
    from model_sim.text.file_tokenizer import FileTokenizer

    try:
        return FileTokenizer(settings.tokenizer_file)
    except OSError as error:
        raise StartError(str(error)) from error


async def build(
    settings: Settings, tokenizer: Tokenizer, stack: AsyncExitStack, *, sentences: Corpus | None = None
) -> Simulator:
    """A simulator and, where enabled, its publishers of KV events."""
    if settings.kv_events is None:
        return Simulator(settings, tokenizer, sentences=sentences)
    try:
        from model_sim.server import kv_publisher

        made = kv_publisher.publishers(settings.kv_events, settings.data_parallel_size, settings.engine.block_size)
    except (ImportError, OSError) as error:
        raise StartError(f"argument --kv-events-config: {error}") from error
    for publisher in made:
        stack.callback(publisher.close)
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    replay = tasks.create_task(kv_publisher.replay_all(made), name="kv event replay")
    stack.callback(replay.cancel)
    return Simulator(settings, tokenizer, sentences=sentences, publishers=made)


async def start(simulator: Simulator, stack: AsyncExitStack) -> int:
    """Listen; the port is the one given or, for 0, the one the system chose."""
    settings = simulator.settings
    runner = web.AppRunner(app.build(simulator), handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as error:
        raise StartError(
            f"argument --port: cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from error
    stack.push_async_callback(_stop, site)
    addresses: Sequence[tuple[str, int]] = runner.addresses
    return addresses[0][1]


async def _stop(site: web.TCPSite) -> None:
    if site._server is not None:  # noqa: SLF001 - already stopped by the drain
        await site.stop()


async def drain(simulators: Sequence[Simulator], within: float) -> bool:
    """Refuse new requests and let the ones in flight finish; whether all did in time."""
    for simulator in simulators:
        simulator.draining = True
    deadline = asyncio.get_running_loop().time() + within
    while any(simulator.open_exchanges for simulator in simulators):
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(DRAIN_POLL_SECONDS)
    return True


async def serve(all_settings: Sequence[Settings]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once."""
    stop = asyncio.Event()
    now = asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        (now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    tokenizer = tokenizer_of(all_settings[0])
    simulators: list[Simulator] = []
    async with AsyncExitStack() as stack:
        for settings in all_settings:
            sentences = simulators[0].planner.corpus if simulators else None
            simulator = await build(settings, tokenizer, stack, sentences=sentences)
            port = await start(simulator, stack)
            simulators.append(simulator)
            if len(all_settings) <= 1:
                log.info("serving", model=settings.displayed_model, port=port, profile=settings.profile_name)
        if len(all_settings) > 1:
            log.info("serving a fleet", size=len(all_settings), first_port=all_settings[0].port)
        async with asyncio.TaskGroup() as tasks:
            crashes = [tasks.create_task(_crash(simulator), name="crash") for simulator in simulators]
            await stop.wait()
            drained = tasks.create_task(drain(simulators, all_settings[0].shutdown_timeout), name="drain")
            hurry = tasks.create_task(now.wait(), name="second signal")
            await asyncio.wait((drained, hurry), return_when=asyncio.FIRST_COMPLETED)
            for task in (*crashes, drained, hurry):
                task.cancel()
    log.info("stopped")


async def _crash(simulator: Simulator) -> None:
    """The fault `crash_after`: end as a killed process does."""
    await simulator.crashed.wait()
    os._exit(1)


def run(all_settings: Sequence[Settings]) -> None:
    """Serve on a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(all_settings))
