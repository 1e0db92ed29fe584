"""What a start waits for ends when the process is to stop."""

import asyncio

import pytest

from gateway.service import lifecycle


async def test_work_that_a_start_waits_for_gives_its_result() -> None:
    assert await lifecycle.unless(asyncio.Event(), asyncio.sleep(0, "found")) == "found"


async def test_work_is_cancelled_once_the_process_is_to_stop() -> None:
    stopping, ended = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        stopping.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "found"

    assert await lifecycle.unless(stopping, work()) is None
    assert ended.is_set()


async def test_what_work_raises_is_among_the_errors_of_the_start() -> None:
    async def work() -> None:
        raise OSError("no server")

    with pytest.raises(ExceptionGroup) as raised:
        async with lifecycle.background():
            await lifecycle.unless(asyncio.Event(), work())
    assert [str(error) for error in lifecycle.leaves(raised.value)] == ["no server"]


async def test_whoever_waits_can_be_cancelled_and_so_is_the_work() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(lifecycle.unless(asyncio.Event(), work()))
    await began.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
