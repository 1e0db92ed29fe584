"""What only ADS can do, and Envoy's other dialect of it. (Every test of this folder that edits runs over ADS, too.)"""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from controlplane.options import Delivery, Options, PickerTransport
from controlplane.render import render
from controlplane.xds.ads.server import AdsServer
from gateway.kube.sources.files import load as load_folders
from gateway.xds.codec import Codec
from gateway.xds.messages import Dialect
from gateway.xds.server import AggregatedDiscovery, serving
from tests.certificates import self_signed
from tests.conftest import free_ports
from tests.contract.envoy.conftest import MakeBed
from tests.contract.envoy.gateway_under_test import GATEWAY, HOST, pool, slice_of
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


async def test_envoy_is_served_by_mutual_tls_as_the_page_says(
    envoy_binary: Path, root: Path, tmp_path: Path, delivery: Delivery, transport: PickerTransport
) -> None:
    """With the part of the bootstrap that docs/controlplane.md shows, and files where that says."""
    del transport
    chain, key = self_signed(tmp_path, "controlplane")
    for name, file in (("tls.crt", chain), ("tls.key", key), ("ca.crt", chain)):
        (tmp_path / name).write_bytes(file.read_bytes())
    xds, admin, port = free_ports(3)
    page = (root / "docs" / "controlplane.md").read_text()
    (socket,) = re.findall(r"```yaml\n(    transport_socket:.*?)```", page, re.DOTALL)
    static = (root / "envoy" / "bootstrap-grpc.yaml").read_text().replace("18000", str(xds)).replace("9901", str(admin))
    text = static.replace("    connect_timeout: 1s\n", f"    connect_timeout: 1s\n{socket}")
    (tmp_path / "bootstrap.yaml").write_text(text.replace("/etc/envoy/tls", str(tmp_path)))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "gateway.yaml").write_text(GATEWAY)

    codec = Codec()
    server = AdsServer(codec)
    options = Options(xds=delivery, listen_address=HOST, port_map={80: port})
    await server.serve(render(load_folders([tmp_path / "in"]).manifests, {}, options).snapshot)
    arguments = [
        str(envoy_binary),
        "-c",
        str(tmp_path / "bootstrap.yaml"),
        "--disable-hot-restart",
        "--concurrency",
        "1",
    ]
    async with serving(AggregatedDiscovery(server.open, codec), f"{HOST}:{xds}", tmp_path):
        with (tmp_path / "envoy.log").open("wb") as log:
            process = subprocess.Popen([*arguments, "--log-level", "warning"], stdout=log, stderr=log)
        try:
            async with asyncio.timeout(30):
                async for uptake in server.uptakes():
                    if uptake.is_taken:
                        break
        finally:
            process.terminate()
            process.wait(10)

    assert uptake.taken == ("pointsman",)
