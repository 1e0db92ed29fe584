"""How a service's process starts, is asked to stop, and ends with status 0. A shell: it knows the loop and signals.

A service's `main(stopping)` builds everything, serves until `stopping` is set (SIGTERM or SIGINT), drains, and returns.
A second signal ends the patience: `main` is cancelled.
"""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")
Main = Callable[[asyncio.Event], Awaitable[None]]

# Start-up leaves some 80 000 objects that live as long as the process. A full collection that walks them took the
# picker 33 ms on a 2-core host, and next to nothing once they are frozen; the first threshold keeps young ones from
# running every few requests.
GC_THRESHOLDS = (50_000, 20, 100)


def run(main: Main, leash: int | None = None) -> None:
    """Run `main` on uvloop until it returns. `leash` is a pipe whose end asks it to stop, too."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(asyncio.CancelledError):
        runner.run(_until_done(main, leash))


async def _until_done(main: Main, leash: int | None) -> None:
    stopping = asyncio.Event()
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set() and task is not None:
            task.cancel()
        stopping.set()

    def let_go(pipe: int) -> None:
        if not os.read(pipe, 1):
            loop.remove_reader(pipe)
            stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if leash is not None:
        loop.add_reader(leash, let_go, leash)
    await main(stopping)


@contextlib.asynccontextmanager
async def background(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.TaskGroup]:
    """Run jobs while the body runs; they are cancelled when it ends, and a job that fails ends the body."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in jobs]
        try:
            yield group
        finally:
            for task in tasks:
                task.cancel()


async def unless(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of work that a start waits for; None, and the work is cancelled, once `stopping` is set."""
    async with asyncio.TaskGroup() as group:
        task, stop = group.create_task(work), group.create_task(stopping.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        stop.cancel()
    return None if task.cancelled() else task.result()


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions of nested groups, as task groups within each other raise them."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def tune_collector() -> None:
    """Call once, when start-up is over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Have no collection while many objects are made that are soon gone: it would walk them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
