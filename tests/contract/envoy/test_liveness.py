"""GET /health of the gateway on a real Envoy."""

import asyncio

import pytest

from tests.contract.envoy.conftest import ROUTE, Bed, MakeBed

pytestmark = pytest.mark.envoy


async def health(bed: Bed, method: str = "GET") -> int:
    return (await bed.ask(method=method, path="/health")).status


async def test_it_is_well_while_it_can_pick(bed: Bed) -> None:
    bed.pick(bed.one)
    assert (await health(bed), await health(bed, "HEAD")) == (200, 200)
    assert bed.one.requests == bed.two.requests == []

    await bed.picker.stop()

    async with asyncio.timeout(20):
        while await health(bed) != 503:
            await asyncio.sleep(0.1)


async def test_a_route_that_serves_the_path_keeps_it(make_bed: MakeBed) -> None:
    whole = ROUTE.split("  rules:")[0] + (
        "  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: open}]}]\n"
    )
    async with make_bed(route=whole) as bed:
        bed.pick(bed.two)

        assert (await bed.ask(method="GET", path="/health")).server == "two"
