"""Two pickers and a real Redis: what both do together."""

import asyncio
from typing import Any

import pytest

from tests.integration.epp.sharing.pickers import SharingPicker, sharing
from tests.integration.epp.sharing.replicas import until

pytestmark = pytest.mark.redis

SLOT_COUNT = 8


async def test_two_bursts_at_once_fill_the_pool_once_and_not_twice(redis_server: Any) -> None:
    one, two = SharingPicker(redis_server.url, "a"), SharingPicker(redis_server.url, "b")
    async with sharing(one, two):
        clients = [*one.burst(50), *two.burst(50)]

        def admitted() -> int:
            return sum(len(client.picks) for client in clients)

        await until(lambda: admitted() >= SLOT_COUNT)
        await asyncio.sleep(0.2)
        assert admitted() < 2 * SLOT_COUNT  # which would be each its own; on a host without a pause it is once
