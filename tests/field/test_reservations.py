"""Two pickers over HTTP whose Redis is gone: each learns of the end of every request that it placed.

https://github.com/skypilot-org/skypilot/issues/10444
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.options import Options, PickerTransport
from tests.conftest import free_ports
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.field.test_stalled_pickers import ADDRESSES, SLICE

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("transport", [PickerTransport.HTTP], ids=["http"]),
]

START_SECONDS = 40
REQUESTS = 60
# Without a word of its end a reservation would be held for half a minute.
END_SECONDS = 20


@asynccontextmanager
async def real_picker(bed: Bed, address: str, grpc: int, metrics: int) -> AsyncIterator[str]:
    """A picker of the product on an address of its own, with a Redis that nobody is; where it tells what it knows."""
    (health,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("epp")), "run", "--config-dir", str(bed.gateway.folder / "manifests"),
        "--host", address, "--grpc-port", str(grpc), "--grpc-health-port", str(health), "--metrics-port", str(metrics),
        "--http-host", address, "--http-port", str(bed.gateway.options.picker_http_port), "--secure-serving=false",
        "--redis-url", "redis://127.0.0.1:1/0", "--log-level", "error",
    )  # fmt: skip
    try:
        yield f"http://{address}:{metrics}"
    finally:
        process.terminate()
        await process.wait()


async def in_flight(bed: Bed, url: str) -> int:
    """What this picker itself has placed."""
    async with bed.gateway.session.get(f"{url}/debug/pools") as answer:
        pools = (await answer.json())["pools"]
    return sum(endpoint.get("in_flight", 0) for pool in pools for endpoint in pool["endpoints"])


async def picks(bed: Bed, url: str) -> int:
    async with bed.gateway.session.get(f"{url}/debug/decisions") as answer:
        return len((await answer.json())["decisions"])


async def is_ready(bed: Bed, url: str) -> bool:
    try:
        async with bed.gateway.session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except OSError:
        return False


async def all_asked(bed: Bed, urls: Sequence[str]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not all([await is_ready(bed, url) for url in urls]):
            await asyncio.sleep(0.1)
        while not all([await picks(bed, url) for url in urls]):
            await bed.ask("closed", "/v1/completions")


async def test_two_pickers_that_share_nothing_hold_no_reservation_of_a_request_that_is_over(make_bed: MakeBed) -> None:
    grpc, first, second = free_ports(3)
    slices = "".join(SLICE.format(index=index, address=address, port=grpc) for index, address in enumerate(ADDRESSES))
    async with make_bed(replace(Options(), pickers_share_state=True)) as bed, AsyncExitStack() as stack:
        urls = [
            await stack.enter_async_context(real_picker(bed, address, grpc, metrics))
            for address, metrics in zip(ADDRESSES, (first, second), strict=True)
        ]
        kept = [part for part in bed.gateway.files["endpoints"].split("---\n") if part and "service-name" not in part]
        await bed.gateway.apply(endpoints="".join(f"---\n{part}" for part in kept) + slices)
        await all_asked(bed, urls)

        found = await asyncio.gather(*(bed.ask("closed", "/v1/completions") for _ in range(REQUESTS)))

        assert {answer.status for answer in found} == {200}
        async with asyncio.timeout(END_SECONDS):
            while [await in_flight(bed, url) for url in urls] != [0, 0]:
                await asyncio.sleep(0.1)
