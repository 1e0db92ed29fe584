"""What only ADS can do, and Envoy's other dialect of it. (Every test of this folder that edits runs over ADS, too.)"""

import asyncio

import pytest

from controlplane.options import Delivery, PickerTransport
from gateway.xds.messages import Dialect
from tests.contract.envoy.conftest import MakeBed
from tests.contract.envoy.gateway_under_test import pool, slice_of
from tests.contract.envoy.test_edits import load, third_route

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
    pytest.mark.parametrize("delivery", [Delivery.GRPC], ids=["ads"]),
]


@pytest.mark.parametrize("dialect", Dialect)
async def test_edits_take_effect_at_once_and_drop_no_request_in_either_dialect(
    make_bed: MakeBed, dialect: Dialect
) -> None:
    async with make_bed(dialect=dialect) as bed:
        bed.pick(bed.two)
        pools = bed.gateway.files["pools"]
        route = bed.gateway.files["route"]
        async with load(bed) as statuses:
            added = await bed.gateway.apply(
                route=third_route("late"),
                pools=pools + pool("late"),
                late=slice_of("late", bed.one.port, {"app": "late"}),
            )
            bed.pick(bed.one, bed.two)
            found = [(await bed.ask("late")).status]
            changed = await bed.gateway.apply(pools=(pools + pool("late")).replace("FailClose", "FailOpen"))
            removed = await bed.gateway.apply(route=route, pools=pools, late="")
            found.append((await bed.ask("late")).status)
            await asyncio.sleep(0.2)

    assert added.is_taken
    assert changed.is_taken
    assert removed.is_taken
    assert found == [200, 404], "a change serves the moment that it counts as taken"
    assert len(statuses) > 10
    assert set(statuses) == {200}


async def test_endpoints_come_and_go_without_any_other_update(make_bed: MakeBed) -> None:
    async with make_bed() as bed:
        others = "^(cluster_manager.cds|listener_manager.lds|http.listener_80.rds.*).update_success$"
        before = await bed.gateway.stats(others)
        for port in (9, 10):
            await bed.gateway.apply(more=slice_of("open", port, {"app": "open"}, 9))
        await bed.gateway.apply(more="")
        after = await bed.gateway.stats(others)
        drained = await bed.gateway.stats("^listener_manager.(listener_modified|total_listeners_draining)$")

    assert after == before
    assert set(drained.values()) == {0}


async def test_envoy_goes_on_without_its_control_plane_and_gets_what_it_missed(make_bed: MakeBed) -> None:
    """The stream breaks; what was edited meanwhile comes with the next one, and nothing drops."""
    async with make_bed() as bed:
        bed.pick(bed.two)
        async with load(bed) as statuses:
            await bed.gateway.break_streams()
            taken = await bed.gateway.apply(route=bed.gateway.files["route"].replace("value: open", "value: other"))
            found = [(await bed.ask(model)).status for model in ("other", "open")]
            await bed.gateway.apply(route=bed.gateway.files["route"].replace("value: other", "value: open"))

    assert taken.is_taken
    assert found == [200, 404]
    assert set(statuses) <= {200, 404}
