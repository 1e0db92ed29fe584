"""A picker's stall is not its death, and one of two that dies or stalls costs as little as it can, on a real Envoy.

https://github.com/agentgateway/agentgateway/issues/2623
https://github.com/kubernetes-sigs/gateway-api-inference-extension/issues/548
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controlplane.options import Options, PickerTransport
from tests.contract.envoy.ai_gateway import at, backend, routed
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.test_tiers import objects
from tests.contract.envoy.wires import Wire, wired

pytestmark = [pytest.mark.envoy, pytest.mark.grpcio]

PICKER_SECONDS = 1.0
OPTIONS = Options(picker_timeout=PICKER_SECONDS, pickers_share_state=True)
# A health check has a quarter of it. With less a busy machine lets the picker that lives look dead, too, and then Envoy
# asks the dead one again.
PATIENT = replace(OPTIONS, picker_timeout=20.0)
CLIENTS = 5
ADDRESSES = ("127.0.0.2", "127.0.0.3")
SLICE = """---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: picker-{index}, labels: {{kubernetes.io/service-name: epp}}}}
addressType: IPv4
endpoints: [{{addresses: ['{address}']}}]
ports: [{{name: grpc, port: {port}}}]
"""


@asynccontextmanager
async def behind_wires(
    make_bed: MakeBed, count: int, options: Options = OPTIONS
) -> AsyncIterator[tuple[Bed, Sequence[Wire]]]:
    """A gateway whose picker is reached over so many wires, and only over them."""
    async with make_bed(options) as bed:
        ports = (bed.picker.port, bed.gateway.options.picker_http_port)
        async with wired(ADDRESSES[0], ports) as first, wired(ADDRESSES[1], ports) as second:
            slices = "".join(
                SLICE.format(index=index, address=address, port=bed.picker.port)
                for index, address in enumerate(ADDRESSES[:count])
            )
            kept = [
                part for part in bed.gateway.files["endpoints"].split("---\n") if part and "service-name" not in part
            ]
            await bed.gateway.apply(endpoints="".join(f"---\n{part}" for part in kept) + slices)
            async with asyncio.timeout(20):
                while await healthy_pickers(bed) != set(ADDRESSES[:count]):
                    await asyncio.sleep(0.05)
            bed.pick(bed.one)
            yield bed, (first, second)[:count]


async def healthy_pickers(bed: Bed) -> set[str]:
    """Where Envoy asks, by the clusters of both doors."""
    url = f"http://{HOST}:{bed.gateway.admin}/clusters?format=json"
    async with bed.gateway.session.get(url) as answer:
        clusters = json.loads(await answer.text())["cluster_statuses"]
    hosts = [host for each in clusters if each["name"].startswith("epp") for host in each.get("host_statuses", ())]
    ill = [host for host in hosts if host["health_status"].get("failed_active_health_check")]
    return set() if ill else {host["address"]["socket_address"]["address"] for host in hosts}


async def statuses(bed: Bed, count: int, model: str = "closed") -> Counter[int]:
    """What so many requests get, one after the other by a few clients."""

    async def some() -> list[int]:
        return [(await bed.ask(model)).status for _ in range(count // CLIENTS)]

    return Counter(status for found in await asyncio.gather(*(some() for _ in range(CLIENTS))) for status in found)


async def test_after_a_stall_of_the_only_picker_every_request_is_served(make_bed: MakeBed) -> None:
    async with behind_wires(make_bed, 1) as (bed, (wire,)):
        wire.stall()
        await asyncio.sleep(3 * PICKER_SECONDS)
        wire.resume()

        assert await statuses(bed, 50) == {200: 50}


async def test_a_request_during_a_short_stall_is_served(make_bed: MakeBed) -> None:
    async with behind_wires(make_bed, 1) as (bed, (wire,)):
        for model in ("open", "closed"):
            wire.stall()
            asyncio.get_running_loop().call_later(PICKER_SECONDS / 2, wire.resume)

            assert await statuses(bed, 50, model) == {200: 50}
        assert bed.orders.pools.count("default/open") == 50, "the picker was waited for"


async def test_a_picker_that_is_back_is_asked_by_the_next_request(make_bed: MakeBed) -> None:
    async with behind_wires(make_bed, 1) as (bed, (wire,)):
        await wire.cut()
        assert await statuses(bed, 20) == {503: 20}
        await wire.mend()

        async with asyncio.timeout(5):
            while (await bed.ask("closed")).status != 200:
                pass
        assert await statuses(bed, 50) == {200: 50}


async def test_one_of_two_pickers_that_dies_costs_what_it_was_asked_at_most(make_bed: MakeBed) -> None:
    async with behind_wires(make_bed, 2, PATIENT) as (bed, (first, _)):
        load = asyncio.create_task(statuses(bed, 500))
        await asyncio.sleep(0.1)
        assert not load.done()
        await first.cut()

        found = await load

        # By ext_proc a question may meet the dead one twice, before it is ejected; over HTTP it never does.
        in_flight = CLIENTS if bed.transport is PickerTransport.EXT_PROC else 0
        assert found[503] <= in_flight
        assert found.total() == found[200] + found[503] == 500
        assert await statuses(bed, 100) == {200: 100}


async def test_one_of_two_pickers_that_stalls_costs_no_request(make_bed: MakeBed) -> None:
    async with behind_wires(make_bed, 2) as (bed, (first, _)):
        first.stall()

        assert await statuses(bed, 100) == {200: 100}
        assert await statuses(bed, 100) == {200: 100}


async def test_a_route_with_a_lower_tier_asks_the_second_picker_before_the_tier_serves(make_bed: MakeBed) -> None:
    async with behind_wires(make_bed, 2) as (bed, (first, _)):
        external = backend("external", at(bed.two.port))
        await bed.gateway.apply(ai=objects(bed.one.port, "{name: external, priority: 1}", mode="FailClose") + external)
        assert (await routed(bed)).server == "one"
        first.stall()

        assert {(await routed(bed)).server for _ in range(20)} == {"one"}
