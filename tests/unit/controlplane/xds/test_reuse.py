"""An edit makes anew what depends on it, and nothing else."""

from collections.abc import Mapping
from cProfile import Profile
from pathlib import Path

import pytest

from controlplane.memo import Memo
from controlplane.options import Options
from controlplane.render import Rendered, render
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool

ENDPOINT = (
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: {app: p}}\n"
    "addressType: IPv4\nendpoints: [{addresses: ['10.0.0.1']}]\nports: [{name: http, port: %d}]\n"
)


def test_a_change_of_one_endpoint_makes_one_resource_and_its_cluster_anew(tmp_path: Path) -> None:
    memo = Memo()

    def rendered(port: int) -> Rendered:
        routes = (route(to_pool()), route(to_pool(pool="q"), name="s"))
        found = manifests(tmp_path, gateway(), *routes, pool(), pool("q"), service(), ENDPOINT % port)
        return render(found, {}, Options(), memo)

    before, after = rendered(1).snapshot, rendered(2).snapshot

    kept = {id(item.body) for found in before.resources.values() for item in found}
    made = [item.name for found in after.resources.values() for item in found if id(item.body) not in kept]
    assert made == ["pool_default_p", "pool_default_p"], "its assignment, and its cluster of the same version"
    changed = [kind for kind, version in after.versions.items() if before.versions[kind] != version]
    assert [kind.rpartition(".")[2] for kind in changed] == ["ClusterLoadAssignment"]


GROWING = (
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: {app: p}}\n"
    "addressType: IPv4\nendpoints: [{addresses: [%s]}]\nports: [{name: http, port: 1}]\n"
)


@pytest.mark.parametrize(
    "serving", [pool(), pool(mode="FailOpen"), pool(picker="")], ids=["FailClose", "FailOpen", "without a picker"]
)
def test_a_pool_of_one_that_grows_and_shrinks_changes_endpoints_alone(tmp_path: Path, serving: str) -> None:
    def versions(count: int) -> Mapping[str, str]:
        addresses = ", ".join(f"10.0.0.{number}" for number in range(1, count + 1))
        found = manifests(tmp_path, gateway(), route(to_pool()), serving, service(), GROWING % addresses)
        return render(found, {}, Options()).snapshot.versions

    first = versions(1)
    for count in (2, 3, 12, 2):
        after = versions(count)
        changed = [kind.rpartition(".")[2] for kind, version in after.items() if first[kind] != version]
        assert changed == ["ClusterLoadAssignment"], f"{count} endpoints"


def test_twice_the_routes_are_twice_the_work(tmp_path: Path) -> None:
    """Counted in calls of functions, which no other load of the host changes."""

    def calls(count: int) -> int:
        rules = (
            to_pool(f"/{n}", pool=f"p{n}", headers="[{name: X-Gateway-Model-Name, value: m}]") for n in range(count)
        )
        routes = (route(rule, name=f"r{number}") for number, rule in enumerate(rules))
        pools = (pool(f"p{number}") for number in range(count))
        found = manifests(tmp_path, gateway(), service(), *routes, *pools)
        profile = Profile()
        profile.runcall(render, found, {}, Options())
        return sum(entry.callcount for entry in profile.getstats())

    once, twice = calls(100), calls(200)

    assert twice < 2.2 * once
