"""Waiting for what a source does in its own time."""

import asyncio
from collections.abc import Callable
from typing import Final

SECONDS: Final = 60  # the longest pause of a source is ten


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.02)
