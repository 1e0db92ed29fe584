"""What Envoy's log tells the picker of the last request."""

import asyncio
from typing import Any

from tests.contract.envoy.conftest import Bed


async def last_entry(bed: Bed) -> Any:
    async with asyncio.timeout(10):
        while not any(entry.response.response_code.value for entry in bed.picker.log.entries):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
    return bed.picker.log.entries[-1]


def usage_of(entry: Any) -> dict[str, int]:
    return {key: int(value) for key, value in entry.common_properties.metadata.filter_metadata["llm"].items()}
