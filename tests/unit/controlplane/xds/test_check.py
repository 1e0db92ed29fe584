"""A snapshot that is not whole is found out, by name."""

from pathlib import Path
from typing import Any

import pytest

from controlplane.options import Options, PickerTransport
from controlplane.render import render
from controlplane.xds.check import faults
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Snapshot, snapshot_of
from gateway.kube.sources.files import load
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool

EDS = {"name": "c", "type": "EDS"}
RDS = {"rds": {"route_config_name": "r"}}


def snapshot(
    clusters: tuple[Any, ...] = (), endpoints: tuple[Any, ...] = (), routes: tuple[Any, ...] = (), listener: Any = None
) -> Snapshot:
    return snapshot_of(
        {
            names.CLUSTER_TYPE: clusters,
            names.ENDPOINTS_TYPE: endpoints,
            names.ROUTES_TYPE: routes,
            names.LISTENER_TYPE: [{"name": "l", **listener}] if listener else [],
        }
    )


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (snapshot(clusters=(EDS,)), "Cluster c names ClusterLoadAssignment c, which is missing"),
        (snapshot(listener=RDS), "Listener l names RouteConfiguration r, which is missing"),
        (
            snapshot(routes=({"name": "r", "routes": [{"route": {"cluster": "c"}}]},)),
            "RouteConfiguration r names Cluster c, which is missing",
        ),
        (
            snapshot(routes=({"name": "r", "route": {"weighted_clusters": {"clusters": [{"name": "c"}]}}},)),
            "RouteConfiguration r names Cluster c, which is missing",
        ),
        (
            snapshot(listener={"grpc_service": {"envoy_grpc": {"cluster_name": "c"}}}),
            "Listener l names Cluster c, which is missing",
        ),
        (
            snapshot(listener={"tls_certificate_sds_secret_configs": [{"name": "s", "sds_config": {"ads": {}}}]}),
            "Listener l names Secret s, which is missing",
        ),
        (snapshot(clusters=({"name": "c"}, {"name": "c"})), "Cluster c is there 2 times"),
    ],
)
def test_what_is_missing_or_there_twice_is_named(found: Snapshot, fault: str) -> None:
    assert faults(found) == (fault,)


def test_a_route_to_the_cluster_that_never_exists_is_meant() -> None:
    assert faults(snapshot(routes=({"name": "r", "route": {"cluster": names.ABSENT_CLUSTER}},))) == ()


def test_two_listeners_on_one_address_are_a_fault() -> None:
    found = snapshot_of({names.LISTENER_TYPE: [{"name": name, "address": {"port_value": 80}} for name in "ab"]})

    assert faults(found) == ("Listener b binds the address of a",)


@pytest.mark.parametrize("picker", tuple(PickerTransport))
@pytest.mark.parametrize("folder", ["config/demo", "tests/data/manifests/everything", "tests/data/manifests/seeds"])
def test_every_rendered_set_is_whole(root: Path, folder: str, picker: PickerTransport) -> None:
    found = load([root / folder]).manifests

    rendered = render(found, {"epp": ("10.0.0.3",)}, Options(picker=picker))

    assert rendered.faults == ()
    assert rendered.snapshot.of(names.LISTENER_TYPE)


def test_each_resource_that_is_taken_away_is_missed(tmp_path: Path) -> None:
    found = manifests(tmp_path, gateway(), route(to_pool()), pool(), service())
    whole = render(found, {}, Options()).snapshot
    for kind in (names.CLUSTER_TYPE, names.ENDPOINTS_TYPE, names.ROUTES_TYPE):
        for gone in whole.of(kind):
            less = {
                each: [item.body for item in items if (each, item.name) != (kind, gone.name)]
                for each, items in whole.resources.items()
            }
            assert any(f" {gone.name}, which is missing" in fault for fault in faults(snapshot_of(less))), gone
