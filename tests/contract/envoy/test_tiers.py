"""Backends by priority on a real Envoy: a tier that is out costs no request, and probes find out when it is back."""

import asyncio
import time
from collections import Counter

import pytest

from controlplane.options import PickerTransport
from tests.conftest import free_ports
from tests.contract.envoy.ai_gateway import at, backend, key, route, routed, secret
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import ModelServer
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
]

SINGLE = "{kind: InferencePool, name: single}"


def objects(port: int, *references: str, mode: str = "FailOpen") -> str:
    """A route to a pool of one endpoint, and to whatever else."""
    return route(SINGLE, *references) + pool("single", mode) + slice_of("single", port, {"app": "single"})


async def test_a_provider_takes_over_from_a_pool_of_one(bed: Bed) -> None:
    (port,) = free_ports(1)
    external = backend("external", at(bed.two.port)) + key("external") + secret("external", apiKey=b"sk")
    await bed.gateway.apply(ai=objects(port, "{name: external, priority: 1, modelNameOverride: theirs}") + external)
    bed.pick(port)

    started = time.monotonic()
    answers = [await routed(bed) for _ in range(20)]
    assert Counter(answer.status for answer in answers) == {200: 20}
    assert {answer.server for answer in answers} == {"two"}
    assert {answer.json["headers"]["authorization"] for answer in answers} == {"Bearer sk"}  # type: ignore[index]
    assert time.monotonic() - started < 10


async def test_probes_and_not_requests_find_a_tier_of_one_again(bed: Bed) -> None:
    (port,) = free_ports(1)
    references = ("{name: first}", "{name: second, priority: 1}")
    await bed.gateway.apply(ai=route(*references) + backend("first", at(port)) + backend("second", at(bed.two.port)))
    assert {(await routed(bed)).server for _ in range(5)} == {"two"}

    async with ModelServer("first", port=port).serving() as first:
        async with asyncio.timeout(20):
            while (answer := await routed(bed)).server != "first":
                assert answer.status == 200
        assert first.requests[0].path == "/health"


async def test_without_a_pick_a_pool_that_is_out_is_not_asked(bed: Bed) -> None:
    (port,) = free_ports(1)
    await bed.gateway.apply(ai=objects(port, "{name: external, priority: 1}") + backend("external", at(bed.two.port)))
    bed.pick()
    bed.orders.endpoints = None
    await bed.picker.stop()

    assert {(await routed(bed)).server for _ in range(10)} == {"two"}


async def test_a_pool_that_refuses_without_a_pick_leaves_its_requests_to_the_lower_tier(bed: Bed) -> None:
    external = backend("external", at(bed.two.port))
    await bed.gateway.apply(ai=objects(bed.one.port, "{name: external, priority: 1}", mode="FailClose") + external)
    bed.pick(bed.one)
    assert (await routed(bed)).server == "one"

    bed.orders.endpoints = None

    assert {(await routed(bed)).server for _ in range(10)} == {"two"}


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_a_backend_that_cannot_serve_now_is_followed_by_the_next_tier(bed: Bed, status: int) -> None:
    bed.one.status = status
    references = ("{name: first}", "{name: second, priority: 1}")
    await bed.gateway.apply(
        ai=route(*references) + backend("first", at(bed.one.port)) + backend("second", at(bed.two.port))
    )

    assert {(await routed(bed)).server for _ in range(5)} == {"two"}


async def test_the_last_tiers_own_answer_reaches_the_client(bed: Bed) -> None:
    bed.one.status = bed.two.status = 503
    references = ("{name: first}", "{name: second, priority: 1}")
    await bed.gateway.apply(
        ai=route(*references) + backend("first", at(bed.one.port)) + backend("second", at(bed.two.port))
    )

    answer = await routed(bed)

    assert answer.status == 503
    assert "server" in answer.json


async def test_a_second_pool_takes_over(bed: Bed) -> None:
    (port,) = free_ports(1)
    second = pool("second") + slice_of("second", bed.two.port, {"app": "second"})
    await bed.gateway.apply(ai=objects(port, "{kind: InferencePool, name: second, priority: 1}") + second)
    bed.pick(port)

    assert {(await routed(bed)).server for _ in range(5)} == {"two"}


async def test_backends_of_one_tier_share_by_weight_and_stand_in_for_each_other(make_bed: MakeBed) -> None:
    async with make_bed() as bed:
        three = backend("three", at(bed.dead))
        references = ("{name: one, weight: 3}", "{name: two, weight: 1}", "{name: three, priority: 5}")
        both = backend("one", at(bed.one.port)) + backend("two", at(bed.two.port))
        await bed.gateway.apply(ai=route(*references) + both + three)
        await routed(bed)
        served = Counter([(await routed(bed)).server for _ in range(200)])
        assert 120 < served["one"] < 180
        bed.one.status = 503

        assert {(await routed(bed)).server for _ in range(20)} == {"two"}
