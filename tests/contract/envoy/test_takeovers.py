"""A pool that takes over from another backend of its rule, on a real Envoy: its own picker picks."""

import asyncio
from collections import Counter

import pytest

from controlplane.options import Delivery, PickerTransport
from gateway.rpc.server import Transport
from gateway.wire import protocol
from tests.conftest import free_ports
from tests.contract.envoy.ai_gateway import at, backend, route, routed
from tests.contract.envoy.conftest import Answer, Bed
from tests.contract.envoy.fakes import HOST, ModelServer
from tests.contract.envoy.gateway_under_test import pool, slice_of

pytestmark = pytest.mark.envoy


# By one door of the picker, one way of configuring Envoy and one transport of gRPC.
once = pytest.mark.parametrize(
    ("transport", "delivery", "grpc_transport"),
    [pytest.param(PickerTransport.EXT_PROC, Delivery.GRPC, Transport.NGHTTP2, id="once")],
)

FIRST = "{kind: InferencePool, name: first}"


def pool_of(name: str, *ports: int, mode: str = "FailOpen") -> str:
    slices = (slice_of(name, port, {"app": name}, index) for index, port in enumerate(ports))
    return pool(name, mode) + "".join(slices)


def objects(first: int, second: str, *more: str, reference: str = "") -> str:
    below = f"{{kind: InferencePool, name: second, priority: 1{reference}}}"
    return route(FIRST, below, *more) + pool_of("first", first) + second


async def test_its_own_picker_picks(bed: Bed) -> None:
    (port,) = free_ports(1)
    await bed.gateway.apply(ai=objects(port, pool_of("second", bed.dead, bed.one.port, bed.two.port)))
    bed.pick(port)
    bed.orders.legs = {protocol.PREFILL_ENDPOINT: "10.0.0.9:1"}
    bed.orders.by_pool = {"default/second": [f"{HOST}:{bed.two.port}"]}

    answers = [await routed(bed) for _ in range(10)]

    assert Counter((answer.status, answer.server) for answer in answers) == {(200, "two"): 10}
    assert bed.orders.pools[-2:] == ["default/first", "default/second"]
    assert not {protocol.DESTINATION_ENDPOINT, protocol.PREFILL_ENDPOINT} & bed.orders.headers[-1].keys()
    headers = answers[-1].json["headers"]
    assert isinstance(headers, dict)
    assert headers[protocol.DESTINATION_ENDPOINT] == f"{HOST}:{bed.two.port}"


@once
async def test_its_picker_is_told_how_the_request_ended(bed: Bed) -> None:
    (port,) = free_ports(1)
    await bed.gateway.apply(ai=objects(port, pool_of("second", bed.one.port, bed.two.port)))
    bed.pick(port)
    bed.orders.by_pool = {"default/second": [f"{HOST}:{bed.two.port}"]}
    await routed(bed)

    def served_by() -> set[int]:
        logged = (entry.common_properties.upstream_remote_address.socket_address for entry in bed.picker.log.entries)
        return {address.port_value for address in logged}

    async with asyncio.timeout(10):
        while bed.two.port not in served_by():
            await asyncio.sleep(0.05)


@once
async def test_its_list_is_walked(bed: Bed) -> None:
    (port,) = free_ports(1)
    await bed.gateway.apply(ai=objects(port, pool_of("second", bed.dead, bed.one.port, bed.two.port)))
    bed.pick(port)
    bed.orders.by_pool = {"default/second": [f"{HOST}:{bed.dead}", f"{HOST}:{bed.two.port}"]}

    assert {(await routed(bed)).server for _ in range(5)} == {"two"}


@once
@pytest.mark.parametrize("mode", ["FailOpen", "FailClose"])
async def test_its_failure_mode_decides_without_its_picker(bed: Bed, mode: str) -> None:
    (port,) = free_ports(1)
    await bed.gateway.apply(ai=objects(port, pool_of("second", bed.one.port, mode=mode)))
    await bed.picker.stop()

    answer = await routed(bed)

    assert answer.status == (200 if mode == "FailOpen" else 503)


@once
async def test_without_a_pick_there_the_next_tier_serves(bed: Bed) -> None:
    provider = backend("external", at(bed.one.port))
    second = pool_of("second", bed.two.port, mode="FailClose") + provider
    (port,) = free_ports(1)
    await bed.gateway.apply(ai=objects(port, second, "{name: external, priority: 2}"))
    bed.pick(port)
    bed.orders.by_pool = {"default/second": []}

    assert {(await routed(bed)).server for _ in range(5)} == {"one"}
    assert bed.two.requests == []


@once
async def test_a_pool_stands_behind_a_provider_too(bed: Bed) -> None:
    (port,) = free_ports(1)
    below = "{kind: InferencePool, name: second, priority: 1}"
    provider = backend("external", at(port))
    await bed.gateway.apply(
        ai=route("{name: external}", below) + provider + pool_of("second", bed.one.port, bed.two.port)
    )
    bed.orders.by_pool = {"default/second": [f"{HOST}:{bed.two.port}"]}

    assert {(await routed(bed)).server for _ in range(5)} == {"two"}
    assert set(bed.orders.pools) == {"default/second"}


@once
async def test_its_reference_changes_requests(bed: Bed) -> None:
    (port,) = free_ports(1)
    changes = ", modelNameOverride: other, headerMutation: {set: [{name: x-team, value: second}]}"
    await bed.gateway.apply(ai=objects(port, pool_of("second", bed.two.port), reference=changes))
    bed.pick(port)
    bed.orders.by_pool = {"default/second": [f"{HOST}:{bed.two.port}"]}

    answer = await routed(bed)

    headers = answer.json["headers"]
    assert isinstance(headers, dict)
    assert (answer.server, headers["x-team"]) == ("two", "second")
    assert b'"model":"other"' in (await bed.two.requests[-1].read()).replace(b" ", b"")


@once
async def test_pools_of_one_tier_stand_in_for_each_other_by_their_pickers(bed: Bed) -> None:
    (port,) = free_ports(1)
    both = pool_of("first", port) + pool_of("second", bed.one.port, bed.two.port)
    equal = route(FIRST, "{kind: InferencePool, name: second}", "{name: external, priority: 1}")
    await bed.gateway.apply(ai=equal + both + backend("external", at(bed.one.port)))
    bed.orders.by_pool = {"default/first": [f"{HOST}:{port}"], "default/second": [f"{HOST}:{bed.two.port}"]}

    assert {(await routed(bed)).server for _ in range(20)} == {"two"}


@once
async def test_a_first_pool_that_is_back_is_picked_again(bed: Bed) -> None:
    (port,) = free_ports(1)
    await bed.gateway.apply(ai=objects(port, pool_of("second", bed.two.port)))
    bed.orders.by_pool = {"default/first": [f"{HOST}:{port}"], "default/second": [f"{HOST}:{bed.two.port}"]}
    assert {(await routed(bed)).server for _ in range(5)} == {"two"}

    async with ModelServer("first", port=port).serving():
        async with asyncio.timeout(20):
            while (answer := await routed(bed)).server != "first":
                assert answer.status == 200


OVERFLOWS = [
    "This model's maximum context length is 4096 tokens. However, you requested 5001 tokens. Please reduce the length.",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "the request exceeds the available context size (4096 tokens), try increasing it",
]


@once
@pytest.mark.parametrize("message", OVERFLOWS, ids=["vllm", "vllm-decoder", "sglang", "llama"])
async def test_a_prompt_that_is_too_long_for_the_first_pool_goes_to_the_second(bed: Bed, message: str) -> None:
    bed.one.status, bed.one.message = 400, message
    await bed.gateway.apply(ai=objects(bed.one.port, pool_of("second", bed.two.port)))
    bed.orders.by_pool = {"default/first": [f"{HOST}:{bed.one.port}"], "default/second": [f"{HOST}:{bed.two.port}"]}

    answer = await until_served(bed)

    assert (answer.status, answer.server) == (200, "two")


@once
async def test_any_other_mistake_of_a_request_is_answered_at_once(bed: Bed) -> None:
    bed.one.status, bed.one.message = 400, "temperature must be at least 0"
    await bed.gateway.apply(ai=route("{name: one}", "{name: two, priority: 1}") + backends(bed))

    answer = await until_served(bed)

    assert (answer.status, answer.server) == (400, "one")
    assert {request.path for request in bed.two.requests} <= {"/health"}


@once
async def test_a_prompt_that_is_too_long_for_every_tier_is_told_so(bed: Bed) -> None:
    bed.one.status = bed.two.status = 400
    bed.one.message = bed.two.message = OVERFLOWS[0]
    await bed.gateway.apply(ai=route("{name: one}", "{name: two, priority: 1}") + backends(bed))

    answer = await until_served(bed)

    assert (answer.status, answer.server) == (400, "two")
    assert OVERFLOWS[0].encode() in answer.body
    assert not [name for name in answer.headers if name.startswith("x-pointsman-")]


def backends(bed: Bed) -> str:
    return backend("one", at(bed.one.port)) + backend("two", at(bed.two.port))


async def until_served(bed: Bed) -> Answer:
    """The first answer by a model server, whatever its status."""
    async with asyncio.timeout(20):
        while b"server" not in (answer := await bed.ask("m", headers={"x-case": "ai"})).body:
            await asyncio.sleep(0.1)
    return answer
